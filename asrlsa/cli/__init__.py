"""The command line: it parses, calls a verb, shows what happens, and turns errors into exit codes.

Exit codes: 0 all done, 1 wrong usage or set-up, 2 some files failed, 3 scores regressed, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from asrlsa import __version__
from asrlsa.cli.bench import bench
from asrlsa.cli.check import check
from asrlsa.cli.convert import convert
from asrlsa.cli.evaluate import evaluate
from asrlsa.cli.finetune import finetune
from asrlsa.cli.measure import measure
from asrlsa.cli.models import models
from asrlsa.cli.prepare import prepare
from asrlsa.cli.quantize import quantize
from asrlsa.cli.transcribe import transcribe
from asrlsa.cli.verbatimize import verbatimize
from asrlsa.errors import AsrlsaError

EXIT_USAGE = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="asrlsa",
    help="Turn recordings into CHAT transcripts that keep every filler, repetition, restart and pause.",
    epilog="Exit codes: 0 all done, 1 wrong usage, 2 some files failed, 3 scores regressed, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: half the start-up time, and the same everywhere
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(transcribe)
app.command()(verbatimize)
app.command()(check)
app.command()(convert)
app.command()(evaluate)
app.command()(measure)
app.command()(prepare)
app.command()(finetune)
app.command()(quantize)
app.command()(bench)
app.command()(models)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"asrlsa {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = (
        False
    ),
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Options that come before the command."""


def main() -> None:
    """Run the command line; the entry point of the ``asrlsa`` command."""
    debug = "--debug" in sys.argv
    if debug:  # accepted anywhere, before or after the command
        sys.argv = [sys.argv[0], *(a for a in sys.argv[1:] if a != "--debug")]
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("asrlsa: interrupted; what is finished is kept, the same command goes on from there", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except AsrlsaError as error:
        if debug:
            raise
        typer.echo(f"asrlsa: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        _explain(error)
        sys.exit(EXIT_USAGE)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception) -> None:
    """Say in a line or two what went wrong: a usage error in the parser's words, anything else as what it is."""
    message = getattr(error, "format_message", None)
    if message is None:
        typer.echo(f"asrlsa: unexpected {type(error).__name__}: {error}; run again with --debug to see where", err=True)
        return
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(str(error))
        return
    command = getattr(getattr(error, "ctx", None), "command_path", "asrlsa")
    typer.echo(f"asrlsa: {message()}", err=True)
    typer.echo(f"Try '{command} --help'.", err=True)
