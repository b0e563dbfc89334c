"""The command ``visard``. Exit status: 0 match (or done), 1 no match, 2 error, as grep; 130 after Ctrl-C."""

import os
import sys
from typing import Any, cast

import typer
from typer.exceptions import TyperException

from visard.cli.app import app
from visard.cli.hints import told
from visard.cli.output import ERROR, INTERRUPTED, complain
from visard.errors import VisardError
from visard.extras import advice


def main() -> None:
    """Entry point."""
    code = run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = ERROR
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is the end to complain about it
    sys.exit(code)


def run() -> int:
    """The exit status, after an error was told in a line; a defect of ours must not look like "no match"."""
    try:
        return int(app(standalone_mode=False) or 0)
    except VisardError as error:
        complain(told(error))
    except TyperException as error:
        _show(error)
    except typer.Abort:
        complain("nothing was done: the answer was not yes")
    except KeyboardInterrupt:
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # nobody reads on: libraries of ours would end with 1
        return ERROR
    except ModuleNotFoundError as error:
        if advice(error.name):
            complain(advice(error.name))
        else:
            _defect(error)
    except OSError as error:
        complain(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
    except Exception as error:
        _defect(error)
    return ERROR


def _defect(error: Exception) -> None:
    if os.environ.get("VISARD_DEBUG"):
        raise error
    complain(f"a defect of visard, please report it: {type(error).__name__}: {error} (VISARD_DEBUG=1 shows where)")


def _show(error: TyperException) -> None:
    """A command line that is wrong, in a line; the help where there was no command at all."""
    if type(error).__name__ == "NoArgsIsHelpError":
        cast(Any, error).show()
    else:
        complain(f"{error.format_message()} (see visard --help)")
