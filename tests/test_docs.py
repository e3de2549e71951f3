"""The documentation says what is so: links lead somewhere, commands exist, and the blocks marked to run, run.

A fenced block after `<!-- run -->` is run; after `<!-- run: weights -->` it needs the starter models.
"""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import asrlsa
from asrlsa.participants import parse_participants, read_participants_csv

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "samples" / "README.md", *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- run(: weights)? -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKED = re.compile(r"<!-- run(: weights)? -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHELL = ("sh", "bash", "powershell", "console", "yaml", "")


def marked_blocks() -> list:
    found = []
    for page in PAGES:
        for number, (weights, language, code) in enumerate(MARKED.findall(page.read_text(encoding="utf-8")), 1):
            marks = [pytest.mark.weights] if weights else []
            found.append(pytest.param(language, code, id=f"{page.relative_to(ROOT)}-{number}", marks=marks))
    return found


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options_of(command: str) -> set[str]:
    """The options of a command on the reference page, which is what the command has by the first test."""
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## asrlsa {command}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    names = [
        name for row in re.findall(r"^\| (`-[^|]*)", section, re.MULTILINE) for name in re.findall("`(-[^`]+)`", row)
    ]
    return {*names, "-h", "--help", "--debug"}


def command_lines() -> list:
    """Every line of a shell block that calls asrlsa, with where it stands."""
    found = []
    for page in PAGES:
        for _, language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language not in SHELL:
                continue
            for line in code.replace("\\\n", " ").splitlines():
                text = re.sub(r"^\s*(?:- )?(?:run: )?(?:\$ )?", "", line)
                if re.match(r"asrlsa [a-z]", text):
                    found.append(pytest.param(text, id=f"{page.name}: {text[:60]}"))
    return found


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the shortest sample and what else the pages name, where `asrlsa` is a command."""
    (tmp_path / "samples").mkdir()
    for name in ("sandwich.mp3", "sandwich.cha", "kite_story.cha", "participants.csv"):
        shutil.copy(ROOT / "samples" / name, tmp_path / "samples")
    command = tmp_path / "bin" / "asrlsa"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m asrlsa "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def test_cli_page_is_what_the_commands_say():
    page = runpy.run_path(str(DOCS / "make_cli.py"))["page"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "run make docs, and commit docs/cli.md"


def test_cli_page_has_every_option_that_help_has():
    """The page is made from signatures; this asks the running command."""
    sections = re.findall(r"^## asrlsa (\S+)$", (DOCS / "cli.md").read_text(encoding="utf-8"), re.MULTILINE)
    environment = {**os.environ, "COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    for command in sections:
        help_text = subprocess.run(
            [sys.executable, "-m", "asrlsa", command, "--help"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", help_text.split("Options", 1)[1]))
        named = {name for name in options_of(command) if name.startswith("--")}
        assert shown - named == set(), command
        assert named - shown - {"--debug"} == set(), command


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_can_be_reached_from_the_index():
    linked = LINK.findall((DOCS / "index.md").read_text(encoding="utf-8"))
    assert {page.name for page in DOCS.glob("*.md")} - {Path(link).name for link in linked} == {"index.md"}


@pytest.mark.parametrize("line", command_lines())
def test_commands_in_the_documentation_exist(line):
    words = shlex.split(line, comments=True)
    used = {word.partition("=")[0] for word in words[2:] if re.match(r"-{1,2}[a-z]", word)}
    assert used - options_of(words[1]) == set()
    for number, word in enumerate(words):
        if word == "--participants":
            assert parse_participants(words[number + 1])


def test_participants_table_of_the_quick_start_can_be_read(tmp_path):
    (table,) = re.findall(r"^```csv\n(.*?)^```$", (DOCS / "quickstart.md").read_text(encoding="utf-8"), re.M | re.S)
    path = tmp_path / "participants.csv"
    path.write_text(table, encoding="utf-8")
    assert {name: [p.code for p in people] for name, people in read_participants_csv(path).items()} == {
        "ann.mp3": ["CHI", "INV"],
        "bob.mp3": ["CHI", "MOT", "INV"],
    }


def test_transcript_of_the_quick_start_is_the_sample():
    (tiers,) = re.findall(r"^```text\n(.*?)^```$", (DOCS / "quickstart.md").read_text(encoding="utf-8"), re.M | re.S)
    gold = re.sub(" \x15\\d+_\\d+\x15", "", (ROOT / "samples" / "kite_story.cha").read_text(encoding="utf-8"))
    assert tiers.splitlines() == [line for line in gold.splitlines() if line in tiers.splitlines()]


@pytest.mark.parametrize(("language", "code"), marked_blocks())
def test_marked_blocks_run(language, code, workplace):
    command = {"sh": ["sh", "-eu", "-c", code], "python": [sys.executable, "-c", code]}
    result = subprocess.run(command[language], cwd=workplace, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr[-2000:]
    assert (result.stdout + result.stderr).strip()


def test_marked_blocks_are_found():
    assert len(marked_blocks()) >= 4


def test_version_is_the_same_everywhere():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'^version = "(.+)"$', project, re.MULTILINE) == [asrlsa.__version__]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d\S+)", changes, re.MULTILINE)[0] == asrlsa.__version__
