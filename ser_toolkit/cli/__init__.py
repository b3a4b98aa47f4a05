"""Run the command `sertk`, a group of the commands that installed distributions declare."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from itertools import takewhile

import click

from .. import __version__
from ..runtime.errors import MissingExtra, SertkError
from ..runtime.text import escape_control, unicode_name
from .group import Commands, missing_extra

INTERRUPTED = 130


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sertk", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks (also: SERTK_DEBUG=1).")
def sertk(debug: bool) -> None:
    """Speech emotion recognition: from clips to a network and its metrics."""
    del debug  # `run` reads it, before any command is looked up.


def main() -> None:
    """Run the command line and exit."""
    # A name of a file, or a sign in a table, must not end a command whose work is done.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run one command and return its exit status; print in one line what a user can fix."""
    try:
        return _invoke(args)
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except click.exceptions.Abort as stop:
        return _interrupted(stop.__cause__)
    except KeyboardInterrupt as stop:
        return _interrupted(stop)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        user_error = _user_error(error)
        if user_error is None:
            raise
        if _debug(args):
            traceback.print_exc()
        click.echo(f"Error: {_shown(user_error)}", err=True)
        return user_error.exit_code


def _invoke(args: Sequence[str]) -> int:
    status = sertk.main(args=list(args), prog_name="sertk", standalone_mode=False)
    sys.stdout.flush()
    return status if isinstance(status, int) else 0


def _interrupted(cause: BaseException | None) -> int:
    """Return the status for Ctrl-C, and print in which plugin's code it came."""
    if not isinstance(cause, KeyboardInterrupt):
        return 1
    if str(cause):
        click.echo(f"Error: {cause}. SERTK_PLUGINS=A,B loads only plugins A and B", err=True)
    return INTERRUPTED


def _user_error(error: Exception) -> SertkError | None:
    """Return `error` as one that a user can fix; None for a defect, which shows its traceback."""
    if isinstance(error, SertkError):
        return error
    if isinstance(error, ImportError):
        return missing_extra(error)
    if isinstance(error, OSError) and (error.filename is not None or error.errno is not None):
        from ..utils.files import file_error

        return file_error(error)
    from ..plugins.errors import plugin_at_fault

    return plugin_at_fault(error)


def _shown(error: SertkError) -> str:
    """Return what went wrong, in which a name may be no Unicode or end a line."""
    return escape_control(unicode_name(str(error)), keep="\n\t")


def _debug(args: Sequence[str]) -> bool:
    options = takewhile(lambda arg: arg.startswith("-"), args)
    return "--debug" in options or wants_traceback()


def wants_traceback() -> bool:
    """Say whether SERTK_DEBUG is set, which acts as `--debug` in every command."""
    return os.environ.get("SERTK_DEBUG", "0") not in ("", "0")


def _silence_stdout() -> None:
    """Discard what is still buffered, or the interpreter would print an error at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


__all__ = ["MissingExtra", "main", "run", "sertk"]
