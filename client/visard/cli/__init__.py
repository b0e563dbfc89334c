"""The command ``visard``. Exit status: 0 match (or done), 1 no match, 2 error, as grep."""

import sys

from visard.cli.app import app
from visard.cli.output import ERROR, complain
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
