"""Write docs/cli.md from the commands themselves, so that the page can't say anything else than `--help`.

    .venv/bin/python docs/make_cli.py            writes the page
    .venv/bin/python docs/make_cli.py --check    exits 1 where the page is out of date, writes nothing

It reads the signatures that the app registers, not the text of `--help`: that changes from one Typer to the next.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from typer.models import ArgumentInfo

from asrlsa.cli import app

PAGE = Path(__file__).with_name("cli.md")
MADE = """
Made by `make docs` from the commands; `asrlsa COMMAND --help` says the same.
"""
IN_WORDS = re.compile(r"\s*\[default: ([^\]]*)\]")  # a default that the help text tells
KINDS = {str: "TEXT", Path: "PATH", int: "NUMBER", float: "NUMBER"}


def page() -> str:
    """Return the whole page."""
    info = app.info
    parts = ["# Commands", MADE.strip(), str(info.help), str(info.epilog)]
    if app.registered_callback is not None and app.registered_callback.callback is not None:
        parts += ["Before the command:", "\n".join(table(app.registered_callback.callback))]
    for command in app.registered_commands:
        if command.callback is not None and not command.hidden:
            parts.append(section(command.name or command.callback.__name__.replace("_", "-"), command.callback))
    return "\n\n".join(parts) + "\n"


def section(name: str, callback: Callable[..., Any]) -> str:
    """Return the part of one command: usage, what it does, arguments and options."""
    arguments = [placeholder(p, info, kind) for p, info, kind in parameters(callback) if is_argument(info)]
    usage = " ".join(["asrlsa", name, "[OPTIONS]", *arguments])
    text = inspect.cleandoc(callback.__doc__ or "")
    return "\n\n".join([f"## asrlsa {name}", f"```\n{usage}\n```", text, "\n".join(table(callback))])


def parameters(callback: Callable[..., Any]) -> Iterator[tuple[inspect.Parameter, Any, Any]]:
    """Yield each parameter that help shows, with Typer's description of it and its type."""
    for parameter in inspect.signature(callback, eval_str=True).parameters.values():
        if get_origin(parameter.annotation) is Annotated:
            kind, info = get_args(parameter.annotation)[:2]
            if not info.hidden:
                yield parameter, info, kind


def is_argument(info: Any) -> bool:
    """Whether a parameter is an argument, not an option."""
    return isinstance(info, ArgumentInfo)


def table(callback: Callable[..., Any]) -> Iterator[str]:
    """Yield the lines of a command's tables, one for each panel of its help."""
    panels: dict[str, list[str]] = {}
    for parameter, info, kind in parameters(callback):
        what = cell(IN_WORDS.sub("", info.help or ""))
        row = f"| {shown(parameter, info, kind)} | {what} | {default(parameter, info)} |"
        panels.setdefault(info.rich_help_panel or "", []).append(row)
    for number, (panel, rows) in enumerate(panels.items()):
        yield from [""] * (number > 0)
        yield from [f"{panel}:", ""] if panel else []
        yield "| argument or option | what it does | default |"
        yield "|-|-|-|"
        yield from rows


def shown(parameter: inspect.Parameter, info: Any, kind: Any) -> str:
    """Return an argument or option as the user types it."""
    if is_argument(info):
        return f"`{placeholder(parameter, info, kind)}`"
    long = f"--{parameter.name.replace('_', '-')}"
    is_flag = kind is bool
    # Typer's rule: a flag without names of its own gets a negative form too.
    names = declared(info) or [f"{long}/--no-{long[2:]}" if is_flag else long]
    text = ", ".join(f"`{name}`" for name in names).replace("/", "` / `")
    return text if is_flag else f"{text} `{metavar(info, kind)}`"


def declared(info: Any) -> list[str]:
    """Return the names that an option declares; inside ``Annotated`` Typer keeps the first one as the default."""
    first = [info.default] if isinstance(info.default, str) else []
    return [*first, *(info.param_decls or ())]


def placeholder(parameter: inspect.Parameter, info: Any, kind: Any) -> str:
    """Return what stands for an argument in the usage line."""
    name = str(info.metavar or parameter.name.upper())
    name += "..." * (get_origin(kind) is list)
    return name if parameter.default is inspect.Parameter.empty else f"[{name}]"


def metavar(info: Any, kind: Any) -> str:
    """Return what stands for an option's value."""
    if info.metavar:
        return str(info.metavar)
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
    return KINDS[kind]


def default(parameter: inspect.Parameter, info: Any) -> str:
    """Return the default, in words where the signature or the help text gives words."""
    if parameter.default is inspect.Parameter.empty:
        return "required"
    if isinstance(info.show_default, str):
        return cell(info.show_default)
    if in_words := IN_WORDS.search(info.help or ""):
        return cell(in_words[1])
    value = parameter.default
    if value is None or value is False or value == () or value == [] or info.show_default is False:
        return ""
    if value is True:
        return "on"
    return f"`{cell(str(value))}`"


def cell(text: str) -> str:
    """Return text as it may stand in one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the page, or with ``--check`` compare it."""
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
            sys.exit("docs/cli.md does not say what the commands say: run make docs, and commit it")
        return
    PAGE.write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
