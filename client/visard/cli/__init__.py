"""The command ``visard``. Exit status: 0 match (or done), 1 no match, 2 error, as grep."""

import sys

from visard.cli.app import app
from visard.cli.output import ERROR, complain, err
from visard.errors import VisardError


def main() -> None:
    """Entry point."""
    try:
        app()
    except VisardError as error:
        complain(error)
        sys.exit(ERROR)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # a defect of ours must not look like "no match"
        err.print_exception(show_locals=False)
        sys.exit(ERROR)
