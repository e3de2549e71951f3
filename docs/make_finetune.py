"""Fill the tables of keys in docs/finetune.md from the settings themselves: their names, defaults and documentation.

    .venv/bin/python docs/make_finetune.py            writes the page
    .venv/bin/python docs/make_finetune.py --check    exits 1 where the page is out of date, writes nothing

The rest of the page is written by hand. Needs the train extra.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from asrlsa.model_card import METHODS
from asrlsa.training import recipe

PAGE = Path(__file__).with_name("finetune.md")
BEGIN, END = "<!-- keys: made by docs/make_finetune.py -->", "<!-- end of keys -->"


def page(text: str) -> str:
    """Return the page with its tables of keys made anew."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        sys.exit(f"{PAGE.name}: the marks {BEGIN} and {END} are gone")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """Return a section with a table for each table of a recipe."""
    parts = []
    for name, classes in recipe._CLASSES.items():
        parts.append(f"### `[{name}]`\n\n{intro(name, classes)}\n\n| key | default | what it does |\n|-|-|-|")
        parts += [row(*found) for _, kind in classes for found in keys(kind)]
        parts.append("")
    return "\n".join(parts)


def intro(name: str, classes: tuple[tuple[str, Any], ...]) -> str:
    """Return what the table is about: the class's own description, without its attributes."""
    texts = []
    for _, kind in classes:
        text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[0]
        if "keys stand in the recipe's" not in text:  # the files, beside the windows of [data]
            texts.append(plain(text))
    return " ".join(texts)


def keys(kind: Any) -> list[tuple[str, Any, str]]:
    """Return name, default and documentation of every key: the text under a field, or its line under Attributes."""
    under = documented(kind)
    listed = attributes(kind.__doc__ or "")
    found = []
    for field in dataclasses.fields(kind):
        text = under.get(field.name) or listed.get(field.name)
        if not text:
            sys.exit(f"{kind.__name__}.{field.name} has no documentation")
        default = field.default_factory() if field.default is dataclasses.MISSING else field.default  # type: ignore[misc]
        found.append((field.name, default, text))
    return found


def documented(kind: Any) -> dict[str, str]:
    """Return the texts under the fields of a class."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = str(ast.literal_eval(text.value))
    return found


def attributes(text: str) -> dict[str, str]:
    """Return the entries under ``Attributes:`` of a docstring."""
    _, _, block = inspect.cleandoc(text).partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", block, re.MULTILINE)
    return dict(entries)


def row(name: str, default: Any, text: str) -> str:
    """Return one row of a table."""
    shown = "" if default is None else f"`{recipe._toml(default)}`"
    return f"| `{name}` | {shown} | {plain(text)} |"


def plain(text: str) -> str:
    """Return documentation in one line of Markdown."""
    known = ", ".join(f"`{name}`" for name in METHODS)
    text = " ".join(text.split()).replace("One of `METHODS`", f"One of {known}")
    text = re.sub(r"``([^`]*)``", r"`\1`", text).replace("beside those of `DataSettings`", "")
    text = re.sub(r"(?<!<)(https?://[^\s)]+)", r"<\1>", text)
    return text.replace("|", "\\|")


def main() -> None:
    """Write the page, or with ``--check`` compare it."""
    before = PAGE.read_text(encoding="utf-8")
    after = page(before)
    if sys.argv[1:] == ["--check"]:
        if before != after:
            sys.exit(f"{PAGE.name} is out of date: run docs/make_finetune.py")
        return
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
