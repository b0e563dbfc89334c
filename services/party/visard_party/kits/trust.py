"""Whether the dealer is believed: it is, until one of its kits fails an audit, and then again when an operator has said so.

What is held against it lies in a file, so that a restart does not forget it. ``python -m visard_party.believe`` removes the file.
"""

from pathlib import Path

from visard_common.errors import FailedPrecondition
from visard_common.files import sync_directory, write_durably

REMEDY = "nothing is served until its operator runs python -m visard_party.believe"


class Trust:
    """This party's view of the dealer."""

    def __init__(self, directory: Path, party: int) -> None:
        self._path = directory / "dealer-failed"
        self._party = party

    @property
    def problem(self) -> str:
        """What is held against the dealer, or nothing."""
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return ""

    def require(self) -> None:
        """Raises FailedPrecondition while the dealer is not believed."""
        if problem := self.problem:
            raise FailedPrecondition(f"party {self._party}: {problem}: {REMEDY}")

    def lose(self, problem: str) -> None:
        """Believe the dealer no more, durably; the first reason stays. Raises OSError."""
        if not self.problem:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(self._path, problem.encode())

    def restore(self) -> str:
        """Believe it again; what was held against it, or nothing."""
        if problem := self.problem:
            self._path.unlink(missing_ok=True)
            sync_directory(self._path.parent)
        return problem
