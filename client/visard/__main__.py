"""``visard``, and ``python -m visard``: the command line, or a line that says how to get it."""

import sys

from visard.extras import advice


def main() -> None:
    """Entry point."""
    try:
        from visard.cli import main as command  # noqa: PLC0415 -- it is an extra
    except ModuleNotFoundError as error:
        if not (told := advice(error.name)):
            raise
        print(f"visard: {told}", file=sys.stderr)
        sys.exit(2)
    command()


if __name__ == "__main__":
    main()
