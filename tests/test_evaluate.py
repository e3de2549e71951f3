"""The evaluate verb and its command: exit codes, outputs, the report in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from asrlsa.cli import app
from asrlsa.errors import UsageError
from asrlsa.evaluate import evaluate

HEAD = """@UTF8
@Begin
@Languages:\teng
@Participants:\tCHI Target_Child, INV Investigator
@ID:\teng|x|CHI|||||Target_Child|||
@ID:\teng|x|INV|||||Investigator|||
@Media:\t{name}, audio
"""
REFERENCE = [
    "*CHI:\t&-um I [/] I want (.) the <big ball> [//] big dog . \x150_2000\x15",
    "*INV:\tdon't you & > want xxx it ? \x152100_3000\x15",
    "*CHI:\tw::ell &+y yes . \x153500_5000\x15",
]
HYPOTHESIS = [
    "*PAR0:\tI [/] I want the <big ball> [//] big log . \x1510_2000\x15",
    "*PAR1:\tdo not you want all of it ? \x152100_3000\x15",
    "*PAR0:\twell &+y &-uh yes . \x153500_5000\x15",
]


def write(folder: Path, name: str, lines: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = HEAD.format(name=name) + "\n".join(lines) + "\n@End\n"
    if "PAR0" in text:
        text = text.replace("CHI Target_Child, INV Investigator", "PAR0 Participant, PAR1 Participant")
        text = text.replace("|CHI|", "|PAR0|").replace("|INV|", "|PAR1|").replace("Target_Child|", "Participant|")
    (folder / f"{name}.cha").write_text(text, encoding="utf-8")


@pytest.fixture
def corpus(tmp_path):
    for name in ("one", "two", "three"):
        write(tmp_path / "ref", name, [REFERENCE[0], REFERENCE[1].replace("& > ", ""), REFERENCE[2]])
        write(tmp_path / "hyp", name, HYPOTHESIS)
    return tmp_path


def run(*arguments, env=None):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env=env)


def test_all_scores_of_a_small_corpus(corpus):
    found = evaluate(corpus / "hyp", corpus / "ref")
    # Reference: um I I want the big ball big dog / do not you want it / well y yes: 9 + 5 + 3 words.
    # um is missing, log is dog, uh is added; "all of" stands in the masked stretch.
    counts = found.files[0].counts["verbatim"]
    assert (counts.substitutions, counts.deletions, counts.insertions, counts.reference, counts.masked) == (
        1,
        1,
        1,
        17,
        2,
    )
    assert found.scores["wer"] == pytest.approx(100 * 3 / 17)
    # Cleaned: I want the big dog / do not you want it / well yes: 12 words, log for dog.
    assert found.scores["fluent_wer"] == pytest.approx(100 / 12)
    # Word repetition, retracing and fragment match; um and w::ell are missed, uh is extra.
    assert found.scores["disfluency_f1"] == pytest.approx(100 * 2 * 3 / (5 + 4))
    assert found.scores["pause_recall"] == 0
    assert found.files[0].mapping == {"PAR0": "CHI", "PAR1": "INV"}
    assert found.scores["cpwer"] == found.scores["wer"]
    # 10 ms of 4400 ms of speech are missed.
    assert found.scores["der"] == pytest.approx(100 * 10 / 4400)
    assert found.intervals["wer"] == pytest.approx((found.scores["wer"],) * 2)
    child = next(pair for pair in found.files[0].measures if pair.participant == "CHI")
    assert child.error("words") == 0
    assert child.error("td") == -1  # no um, no pause, one uh
    assert child.relative_error("sld") == pytest.approx(-100 * 2 / 3)  # of I [/] and two colons, I [/] is left


def test_progress_is_told(corpus):
    seen = []
    evaluate(corpus / "hyp", corpus / "ref", resamples=0, listener=seen.append)
    assert seen == ["one", "three", "two"]


def test_unknown_policies_are_refused(corpus):
    with pytest.raises(UsageError, match="no scoring policy 'mine'"):
        evaluate(corpus / "hyp", corpus / "ref", policies=["mine"])


def test_a_missing_hypothesis_is_all_deletions(corpus):
    (corpus / "hyp" / "one.cha").unlink()
    assert run(corpus / "hyp", corpus / "ref").exit_code == 1
    found = evaluate(corpus / "hyp", corpus / "ref", allow_missing=True)
    assert found.missing == ["one"]
    counts = found.files[0].counts["verbatim"]
    assert (counts.deletions, counts.reference) == (17, 17)
    assert run(corpus / "hyp", corpus / "ref", "--allow-missing").exit_code == 0


def test_a_hypothesis_that_can_not_be_read_is_all_deletions_and_exit_code_2(corpus):
    (corpus / "hyp" / "two.cha").write_bytes(b"\xff\xfe")
    made = run(corpus / "hyp", corpus / "ref")
    assert made.exit_code == 2
    assert "two.cha" in made.stderr
    found = evaluate(corpus / "hyp", corpus / "ref")
    assert found.files[2].counts["verbatim"].deletions == 17
    assert [Path(path).name for path, _ in found.failures] == ["two.cha"]


def test_a_reference_that_can_not_be_read_is_left_out(corpus):
    (corpus / "ref" / "two.cha").write_bytes(b"\xff\xfe")
    found = evaluate(corpus / "hyp", corpus / "ref")
    assert [file.name for file in found.files] == ["one", "three"]


def test_a_file_without_its_end_is_scored_and_named(corpus):
    path = corpus / "hyp" / "two.cha"
    path.write_text(path.read_text(encoding="utf-8").partition("*PAR1:")[0], encoding="utf-8")
    found = evaluate(corpus / "hyp", corpus / "ref", compare_with=corpus / "hyp")
    assert found.cut_short == [str(path)]
    assert found.files[2].counts["verbatim"].deletions > found.files[0].counts["verbatim"].deletions
    made = run(corpus / "hyp", corpus / "ref")
    assert made.exit_code == 0
    assert "without @End" in re.sub(r"\s+", " ", made.stdout)
    assert "two.cha" in made.stdout
    assert "without @End" not in run(corpus / "ref", corpus / "ref").stdout


def test_table_names_policies_and_types(corpus):
    made = run(corpus / "hyp", corpus / "ref", "--policies", "fluent,raw")
    assert made.exit_code == 0
    for text in ("verbatim", "fluent", "raw", "filled pause", "cpWER", "CHI", "weighted sld", "any type (relaxed)"):
        assert text in made.stdout
    assert "batchalign" not in made.stdout


def test_json_and_saved_scores_are_the_same(corpus):
    made = run(corpus / "hyp", corpus / "ref", "--format", "json", "--save", corpus / "s.json")
    assert json.loads(made.stdout) == json.loads((corpus / "s.json").read_text())
    data = json.loads(made.stdout)
    assert data["files"]["one"]["events"]["fragment"] == {"matched": 1, "reference": 1, "hypothesis": 1}
    assert data["files"]["one"]["speaker_mapping"] == {"PAR0": "CHI", "PAR1": "INV"}


def test_every_participant_is_listed_with_errors(corpus):
    """CHI: I want the big dog (log), well yes; INV: don't you want it, against do not you want all of it."""
    one = run(corpus / "hyp" / "one.cha", corpus / "ref" / "one.cha").stdout
    flat = [line.split() for line in one.splitlines()]
    assert ["words", "7", "7", "0.00", "0.0", "4", "7", "3.00", "75.0"] in flat
    assert "means over participants" not in one
    several = run(corpus / "hyp", corpus / "ref").stdout
    assert "means over participants" in several
    assert "measures: one" not in several
    assert "measures: one" in run(corpus / "hyp", corpus / "ref", "--files").stdout
    assert report(corpus).count("Language-sample measures of each participant") == 3


def test_gate_passes_and_fails_with_exit_code_3(corpus):
    assert run(corpus / "hyp", corpus / "ref", "--save", corpus / "s.json").exit_code == 0
    gate = ["--baseline", corpus / "s.json", "--max-increase", "wer=0.5", "--max-decrease", "disfluency_f1=1.0"]
    made = run(corpus / "hyp", corpus / "ref", *gate)
    assert made.exit_code == 0
    assert "REGRESSED" not in made.stdout
    for name in ("one", "two", "three"):
        write(corpus / "hyp", name, [HYPOTHESIS[0].replace("I [/] ", ""), *HYPOTHESIS[1:]])
    made = run(
        corpus / "hyp", corpus / "ref", *gate, "--junit", corpus / "j.xml", "--github", env={"GITHUB_STEP_SUMMARY": ""}
    )
    assert made.exit_code == 3
    assert "REGRESSED: rose by 5.88" in made.stdout
    assert "::error title=asrlsa%3A wer regressed::" in made.stdout
    assert "::notice title=asrlsa evaluate::3 files: verbatim WER 23.53 %25" in made.stdout
    suites = ET.parse(corpus / "j.xml").getroot()
    failed = [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failed == ["wer", "disfluency_f1"]
    assert [case.get("name") for case in suites.findall("testsuite")[1].iter("testcase")] == ["one", "three", "two"]


def test_a_file_without_language_has_that_of_its_partner(tmp_path):
    write(tmp_path, "es", ["*CHI:\ttengo veintiuno ."])
    spanish = (tmp_path / "es.cha").read_text(encoding="utf-8").replace("\teng", "\tspa")
    (tmp_path / "es.cha").write_text(spanish, encoding="utf-8")
    (tmp_path / "es.txt").write_text("tengo 21\n", encoding="utf-8")
    for pair in (("es.txt", "es.cha"), ("es.cha", "es.txt")):
        assert evaluate(*(tmp_path / name for name in pair)).scores["wer"] == 0
    assert evaluate(tmp_path / "es.txt", tmp_path / "es.txt", language="es").scores["wer"] == 0
    assert evaluate(tmp_path / "es.txt", tmp_path / "es.cha", language="eng").scores["wer"] == 0
    with pytest.raises(UsageError, match="ISO 639-3"):
        evaluate(tmp_path / "es.txt", tmp_path / "es.cha", language="spanish")


def test_swapped_speakers_are_told(corpus):
    for name in ("one", "two", "three"):
        text = (corpus / "ref" / f"{name}.cha").read_text(encoding="utf-8")
        swapped = text.replace("*CHI:", "*XXX:").replace("*INV:", "*CHI:").replace("*XXX:", "*INV:")
        (corpus / "hyp" / f"{name}.cha").write_text(swapped, encoding="utf-8")
    found = evaluate(corpus / "hyp", corpus / "ref")
    assert (found.scores["wer"], found.scores["cpwer"]) == (0, 0)
    assert found.scores["speaker_wer"] > 80
    assert "Speaker codes fit the words better when they are exchanged" in run(corpus / "hyp", corpus / "ref").stdout


@pytest.mark.parametrize(
    "options",
    [
        ["--max-increase", "wer=1"],
        ["--baseline", "none.json"],
        ["--format", "xml"],
        ["--where", "split"],
        ["--policies", "x"],
        ["--normalise", "case,x"],
        ["--where", "split=test"],
        ["--language", "english"],
    ],
)
def test_wrong_usage_is_exit_code_1(corpus, options):
    made = run(corpus / "hyp", corpus / "ref", *options)
    assert made.exit_code == 1


def test_markdown_and_job_summary(corpus):
    summary = corpus / "summary.md"
    made = run(
        corpus / "hyp",
        corpus / "ref",
        "--markdown",
        corpus / "m.md",
        "--github",
        env={"GITHUB_STEP_SUMMARY": str(summary)},
    )
    assert made.exit_code == 0
    text = (corpus / "m.md").read_text()
    assert "| verbatim | WER | 17.65 |" in text
    assert all(line.count("|") == text.splitlines()[4].count("|") for line in text.splitlines()[4:6])
    assert summary.read_text().strip() == text.strip()


def test_compare_says_which_is_better(corpus):
    for name in ("one", "two", "three"):
        write(corpus / "best", name, [REFERENCE[0], REFERENCE[1].replace("& > ", ""), REFERENCE[2]])
    made = run(corpus / "best", corpus / "ref", "--compare", corpus / "hyp")
    assert "better" in made.stdout
    found = evaluate(corpus / "best", corpus / "ref", compare_with=corpus / "hyp")
    wer = next(c for c in found.comparison if c.name == "wer" and c.test.startswith("paired"))
    assert (wer.first, round(wer.second, 2)) == (0.0, 17.65)
    tested = next(c for c in found.comparison if c.name == "wer" and c.test == "MAPSSWE")
    # In each file um, log and uh are apart by two words that both have right.
    assert tested.units == 9
    # All nine in one direction: no test can be surer than 2 / 2^9.
    assert tested.p == 2 / 2**9
    # Three files: 2 / 2^3 is not enough to call one better.
    assert wer.p == 0.25


def test_normalisation_is_a_list_that_every_output_names(corpus):
    shown = run(corpus / "hyp", corpus / "ref", "--normalise", "punctuation,case", "--policies", "fluent,cer,raw")
    assert "Normalisation of verbatim, fluent, cer: punctuation, case." in " ".join(shown.stdout.split())
    made = run(corpus / "hyp", corpus / "ref", "--normalise", "none", "--policies", "raw", "--format", "json")
    data = json.loads(made.stdout)
    assert data["normalisation"] == []
    assert data["scores"]["wer"] == data["scores"]["raw_wer"]
    # don't / do not is an error without the step for contractions: three files, two errors each.
    plain, full = (evaluate(corpus / "hyp", corpus / "ref", **k) for k in ({"steps": ["case"]}, {}))
    errors = [sum(f.counts["verbatim"].errors for f in found.files) for found in (plain, full)]
    assert errors[0] - errors[1] == 6


def test_a_regression_does_not_overwrite_its_baseline(corpus):
    scores = corpus / "s.json"
    gate = [corpus / "hyp", corpus / "ref", "--baseline", scores, "--max-increase", "wer=0.5", "--save", scores]
    run(corpus / "ref", corpus / "ref", "--save", scores)
    for _ in range(2):
        made = run(*gate)
        assert made.exit_code == 3
        assert "keeps the baseline" in made.stderr
    assert json.loads(scores.read_text())["scores"]["wer"] == 0


class Balanced(HTMLParser):
    """Checks that every element is closed where it should be, and collects addresses and text."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in ("href", "src")]
        if tag not in ("meta", "br", "input", "rect", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("rect", "circle"):
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def report(corpus, name="report.html", *options):
    made = run(corpus / "hyp", corpus / "ref", "--html", corpus / name, *options)
    assert made.exit_code == 0
    return (corpus / name).read_text(encoding="utf-8")


def test_report_is_one_page_that_needs_nothing_else(corpus):
    page = Balanced()
    text = report(corpus)
    page.feed(text)
    assert page.open == []
    assert page.addresses == []
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text
    shown = " ".join(page.text)
    for word in ("verbatim WER", "Typed disfluencies", "ball", "log", "xxx", "FP−", "FP+", "WR✓", "PL−", "PA−"):
        assert word in shown


def test_report_links_to_the_time_in_the_recording(corpus):
    (corpus / "media folder").mkdir()
    (corpus / "media folder" / "one.mp3").write_bytes(b"")
    page = Balanced()
    page.feed(report(corpus, "deep/report.html", "--audio", str(corpus / "media folder")))
    assert page.addresses == [f"../media%20folder/one.mp3#t={span}" for span in ("0,2", "2.1,3", "3.5,5")]


def test_report_escapes_what_transcripts_say(tmp_path):
    (tmp_path / "hyp.txt").write_text('CHI: a <b> & "c" <script>alert(1)</script> d&e\n', encoding="utf-8")
    (tmp_path / "ref.txt").write_text("CHI: a &amp; x\n", encoding="utf-8")
    made = run(tmp_path / "hyp.txt", tmp_path / "ref.txt", "--html", tmp_path / "r.html")
    assert made.exit_code == 0
    page = Balanced()
    page.feed((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert "<script" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.mark.skipif(browser() is None, reason="no Chromium on this machine")
def test_report_opens_in_a_browser(corpus, tmp_path):
    report(corpus)
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    page = (corpus / "report.html").as_uri()
    shot = tmp_path / "shot.png"
    subprocess.run(
        [*command, "--window-size=1200,2400", f"--screenshot={shot}", page],
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert shot.stat().st_size > 20_000
    made = subprocess.run([*command, "--dump-dom", page], check=True, capture_output=True, timeout=120)
    dom = made.stdout.decode()
    assert dom.count('class="cell ') > 50
    assert dom.count("<svg") == 1


def test_help_and_import_are_light():
    code = (
        "import sys, asrlsa.cli.evaluate, asrlsa.cli.measure, asrlsa.evaluate, asrlsa.measure\n"
        "heavy = {'numpy', 'scipy', 'jiwer', 'rapidfuzz', 'num2words', 'pocketsphinx', 'torch', 'rich.table'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert made.stdout.strip() == "[]"


DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_docs_name_every_policy_step_and_measure():
    from asrlsa.scoring.measures import MEASURES
    from asrlsa.scoring.normalise import POLICIES, STEPS
    from asrlsa.scoring.samples import EVENT_KINDS

    guide, measures = ((DOCS / name).read_text(encoding="utf-8") for name in ("evaluate.md", "measures.md"))
    assert all(f"`{name}`" in guide for name in (*POLICIES, *STEPS))
    flat = " ".join(guide.split()).replace("part-word", "part word")
    assert all(kind.replace("_", " ") in flat for kind in EVENT_KINDS)
    assert all(name in measures for name in MEASURES)


def test_commands_in_the_docs_are_understood(corpus):
    """Every option of every ``asrlsa evaluate`` line in the docs exists."""
    known = run("--help").stdout
    for name in ("evaluate.md", "ci-examples.md"):
        for option in set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", (DOCS / name).read_text(encoding="utf-8"))):
            assert option in known, (name, option)
