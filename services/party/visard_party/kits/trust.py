"""Whether the dealer is believed: it is, until one of its kits fails an audit, and then again when an operator has said so.

What is held against it lies in a file, so that a restart does not forget it. ``python -m visard_party.believe`` removes the file;
of a worker ``python -m visard_party.worker.believe``.
"""

from pathlib import Path

from visard_common.errors import FailedPrecondition
from visard_common.files import sync_directory, write_durably


class Trust:
    """The view of the dealer that a party has; or its worker k, of the number k + 1."""

    def __init__(self, directory: Path, party: int, worker: int = 0) -> None:
        self._path = directory / "dealer-failed"
        self._who = f"worker {worker - 1} of party {party}" if worker else f"party {party}"
        self._remedy = (
            "this worker serves nothing until its operator runs python -m visard_party.worker.believe"
            if worker
            else "nothing is served until its operator runs python -m visard_party.believe"
        )

    @property
    def problem(self) -> str:
        """What is held against the dealer, or nothing."""
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return ""

    @property
    def obstacle(self) -> str:
        """The same in words for an operator, with what to do."""
        return f"{problem}: {self._remedy}" if (problem := self.problem) else ""

    def require(self) -> None:
        """Raises FailedPrecondition while the dealer is not believed."""
        if obstacle := self.obstacle:
            raise FailedPrecondition(f"{self._who}: {obstacle}")

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

    def restored(self) -> str:
        """Believe it again, and say so in a line."""
        problem = self.restore()
        return f"{self._who} believes the dealer again; before: {problem}" if problem else "nothing is held against it"
