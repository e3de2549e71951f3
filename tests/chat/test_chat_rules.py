"""docs/chat.md lists the rules that the check has, no others, and its examples break them."""

import ast
import re
from pathlib import Path

import pytest
from chat_samples import bullet

from asrlsa.chat import word_rules
from asrlsa.chat.check import check_chat

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "asrlsa" / "chat").glob("*.py"))
ROW = re.compile(r"^\| `([a-z-]+)`( \(warning\))? \| ([^|]+) \|(.*)\|$", re.MULTILINE)
NAME = re.compile(r"[a-z]+(?:-[a-z]+)*")

FILE = (
    "@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tCHI Target_Child, MOT Mother\n"
    "@ID:\teng|x|CHI|||||Target_Child|||\n@ID:\teng|x|MOT|||||Mother|||\n@Media:\tx, audio\n@Date:\t03-JUL-2019\n"
    f"*CHI:\tI ran . {bullet(0, 900)}\n%wor:\tI {bullet(0, 500)} ran {bullet(500, 900)} .\n"
    f"*MOT:\tyes . {bullet(900, 1500)}\n*CHI:\tno . {bullet(950, 1600)}\n@End\n"
)
#: Rules whose example is not one line: what in the file is replaced by what.
EDITS = {
    "bom": ("@UTF8", "\ufeff@UTF8"),
    "line-end": ("@UTF8\n", "@UTF8\r\n"),
    "blank-line": ("@Date", "\n@Date"),
    "after-end": ("@End\n", "@End\nmore\n"),
    "header-missing": ("@Languages:\teng\n", ""),
    "header-order": ("@Date:\t03-JUL-2019\n", "@Date:\t03-JUL-2019\n@Options:\tNoAlign\n"),
    "bullet-order": ("950_1600", "800_1600"),
    "bullet-overlap": ("0_900\x15\n%wor", "0_1000\x15\n%wor"),
}
UNREADABLE = {"encoding", "file"}  # before there is a text to check: tests/test_convert.py and the command line's


def rules() -> list[tuple[str, bool, str]]:
    """Every row of the page: rule, whether it is a warning, example."""
    page = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
    found = []
    for name, warning, _, cells in ROW.findall(page):
        (example,) = re.findall(r"^ `([^`]*)`", cells) or [""]
        found.append((name, bool(warning), example.replace("\\|", "|")))
    return found


def rules_of_the_code() -> set[str]:
    """Every rule name in the code: second value of a problem, or third where line and column come first."""
    found = set(word_rules._MESSAGES)
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in [*SOURCES, ROOT / "asrlsa" / "cli" / "check.py"]]
    for node in (node for tree in trees for node in ast.walk(tree)):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            values = node.args if node.func.id in ("Problem", "Finding", "_at", "_in") else []
        elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
            values = node.value.elts
        texts = [v.value for v in values[1:3] if isinstance(v, ast.Constant) and isinstance(v.value, str)]
        found.update(text for text in texts[:1] if NAME.fullmatch(text))
    return found


def broken(name: str, example: str) -> str:
    """The file with the example in it."""
    if name in EDITS:
        old, new = EDITS[name]
        assert FILE.count(old) == 1
        return FILE.replace(old, new)
    line = re.sub("•([0-9_]+)•", "\x15\\1\x15", example.replace("⇥", "\t"))
    if line.startswith("@ID") or re.match(r"@(Participants|Date|Media):", line):
        return re.sub(rf"^{line.partition(':')[0]}:.*$", lambda _: line, FILE, count=1, flags=re.MULTILINE)
    if line.startswith("%wor"):
        return re.sub(r"^%wor:.*$", lambda _: line, FILE, flags=re.MULTILINE)
    if line.startswith("%"):
        return FILE.replace("*MOT:", f"{line}\n*MOT:")
    if not line.startswith(("@", "*")) and name != "line":
        line = f"*MOT:\t{line}"
    return FILE.replace("@End\n", f"{line}\n@End\n")


def test_the_page_has_the_rules_of_the_code():
    names = [name for name, _, _ in rules()]
    assert len(names) == len(set(names))
    assert set(names) == rules_of_the_code()


def test_the_file_without_an_example_is_clean(judge):
    assert check_chat(FILE, "x") == []
    assert judge(FILE) == []


@pytest.mark.parametrize(("name", "warning", "example"), rules(), ids=lambda value: str(value)[:20])
def test_every_example_breaks_its_rule(name: str, warning: bool, example: str):
    if name in UNREADABLE:
        return
    severities = {p.severity for p in check_chat(broken(name, example), "x") if p.code == name}
    assert severities == {"warning" if warning else "error"}
