"""``asrlsa check``: is it valid CHAT?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asrlsa.chat.problems import Problem

EXIT_PROBLEMS = 2


def check(
    paths: Annotated[list[Path], typer.Argument(help="CHAT files, or folders that hold some.", show_default=False)],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors for the exit code.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only, no warnings and no last line.")] = False,
) -> None:
    """Check CHAT files and report every problem with its line and column.

    Errors are what CHAT does not allow; warnings are allowed, but probably not meant, such as a bare um. docs/chat.md
    lists the rules. Exit codes: 0 no errors, 1 wrong usage, 2 errors found or files that can't be read.
    """
    from asrlsa.chat.files import chat_files

    errors = warnings = 0
    files = chat_files(paths)
    for path, _ in files:
        for problem in _problems(path):
            warning = problem.severity == "warning"
            warnings += warning
            errors += not warning
            if not (quiet and warning):
                end = " (warning)" if warning else ""
                typer.echo(f"{path}:{problem.line}:{problem.column}: {problem.code} {problem.message}{end}")
    if not quiet:
        typer.echo(f"{_count(len(files), 'file')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}", err=True)
    if errors or (strict and warnings):
        raise typer.Exit(EXIT_PROBLEMS)


def _problems(path: Path) -> list[Problem]:
    """Return the problems of one file; one that can't be read has one."""
    from asrlsa.chat.check import Problem, check_chat
    from asrlsa.chat.parser import read_text
    from asrlsa.errors import ChatError

    try:
        return check_chat(read_text(path), stem=path.stem)
    except ChatError as error:
        message = str(error).rpartition(": ")[2]
        return [Problem(error.line or 1, error.column or 1, "encoding", message)]
    except OSError as error:
        return [Problem(1, 1, "file", f"the file can't be read ({error.strerror or error})")]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
