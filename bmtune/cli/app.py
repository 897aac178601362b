"""The command `bmtune`: its subcommands, and the one place where errors become exit codes.

Nothing heavy is imported before a subcommand runs, so that `--help` answers at once.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from bmtune import __version__
from bmtune.cli.best import best
from bmtune.cli.compare import compare
from bmtune.cli.confirm import confirm
from bmtune.cli.dashboard import dashboard
from bmtune.cli.data import data
from bmtune.cli.doctor import doctor
from bmtune.cli.evaluate import evaluate
from bmtune.cli.export import export
from bmtune.cli.report import report
from bmtune.cli.search import search
from bmtune.cli.status import status
from bmtune.cli.stop import stop
from bmtune.cli.submit import submit
from bmtune.cli.train import train
from bmtune.errors import BmtuneError
from bmtune.redaction import one_line
from bmtune.redaction import redacted

# What shells report for a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130

app = typer.Typer(
    name="bmtune",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(*, value: bool) -> None:
    if value:
        typer.echo(f"bmtune {__version__}")
        raise typer.Exit


@app.callback()
def _bmtune(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Searches hyperparameters of matrix-product-state Born machines, and trains what it finds."""


app.command()(search)
app.command()(best)
app.command()(confirm)
app.command()(report)
app.command()(export)
app.command()(compare)
app.command()(dashboard)
app.command()(doctor)
app.command(context_settings={"ignore_unknown_options": True})(submit)
app.command()(status)
app.command()(stop)
app.command()(train)
app.command()(evaluate)
app.add_typer(data, name="data")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `bmtune` and returns its exit code.

    Args:
        argv: The words after `bmtune`; those of this process where None.

    Returns:
        0 after success, 2 where the user can mend what is wrong, 1 where a search gave up, 130 after Ctrl-C, 143 and
        129 where a search was ended by SIGTERM and SIGHUP.
    """
    try:
        code = app(args=None if argv is None else list(argv), prog_name="bmtune", standalone_mode=False)
    except (BmtuneError, typer.TyperException) as error:
        return _fail(error)
    except OSError as error:
        return _fail(_refused(error))
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    if code == INTERRUPTED:
        sys.stderr.write("interrupted\n")
    return code if isinstance(code, int) else 0


def _fail(error: BmtuneError | typer.TyperException) -> int:
    if isinstance(error, BmtuneError):
        _say(f"error: {error}")
    elif message := error.format_message():
        _say(f"error: {message.rstrip('.')}; see bmtune --help")
    return error.exit_code


def _refused(error: OSError) -> BmtuneError:
    """What the operating system refused: a path that is too long, a folder that may not be written, a full disk."""
    place = "the operating system" if error.filename is None else str(error.filename)
    return BmtuneError(
        f"files and folders must be usable, but {place} says: {error.strerror or error}; check path, rights and space"
    )


def _say(sentence: str) -> None:
    """One line on standard error, whatever the message quotes: no secret, nothing that a terminal obeys."""
    sys.stderr.write(f"{one_line(redacted(sentence))}\n")
