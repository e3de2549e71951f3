"""The files of the repository themselves: line ends, stray spaces, merge marks, private paths, size."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".cfg", ".html", ".css", ".js", ".csv", ""}
PRIVATE_PATH = re.compile(r"(?:^|[^A-Za-z0-9_.~>])/(?:work|tmp|root|farm|home/[a-z]+|Users/[A-Za-z]+)/[A-Za-z0-9_.]")
PRIVATE_HOST = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}:\d{2,5}\b|\bpypi\.(?!org)[\w.]*\.(?:local|internal|lan)\b")
MERGE_MARK = re.compile(r"^(?:<{7} |={7}$|>{7} )", re.MULTILINE)
LARGEST = 20_000_000  # bytes; the speaker model is the largest file


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    assert files, "git lists no file"
    return [path for path in files if path.is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:8000]:
            found.append((str(path.relative_to(ROOT)), data.decode("utf-8", "replace")))
    return found


def test_no_path_or_host_of_a_machine():
    assert [(name, m[0]) for name, text in texts() for m in [PRIVATE_PATH.search(text)] if m] == []
    assert [(name, m[0]) for name, text in texts() for m in [PRIVATE_HOST.search(text)] if m] == []


@pytest.mark.parametrize("path", ["/wor" + "k/main/x", "cd /tm" + "p/clone", '"/ro' + "ot/.cache", "/ho" + "me/ann/x"])
def test_a_private_path_would_be_seen(path):
    assert PRIVATE_PATH.search(path)


@pytest.mark.parametrize("text", ["https://example.org/work/page", "a/tmp/b", "and/work/", "~/work/x", "/usr/bin/env"])
def test_other_paths_are_no_private_paths(text):
    assert PRIVATE_PATH.search(text) is None


def test_text_files_are_tidy():
    problems = []
    for name, text in texts():
        if Path(name).suffix not in TEXT or "LICENSE" in name:
            continue
        if "\r" in text:
            problems.append(f"{name}: carriage return")
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            problems.append(f"{name}: should end in one line end")
        problems += [
            f"{name}:{number}: space at the end"
            for number, line in enumerate(text.split("\n"), 1)
            if line != line.rstrip(" \t")
        ]
    assert problems == []


def test_no_merge_marks():
    assert [name for name, text in texts() if MERGE_MARK.search(text)] == []


def test_files_are_not_too_large():
    assert [(str(p), p.stat().st_size) for p in tracked() if p.stat().st_size > LARGEST] == []
