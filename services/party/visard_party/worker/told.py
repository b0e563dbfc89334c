"""What a worker is told of its party's writes. Pure."""

from collections.abc import Collection

from visard_party.consistency.changes import Changes


class Told:
    """Hands on to whoever keeps references in memory which were written; at first, and after a gap, everything was."""

    def __init__(self) -> None:
        self._watching: list[Changes] = []

    def watch(self) -> Changes:
        """What is told from now on; at first, everything."""
        self._watching.append(changes := Changes())
        return changes

    def unwatch(self, changes: Changes) -> None:
        """Note nothing more in these changes; nothing where they are not watched."""
        self._watching = [watching for watching in self._watching if watching is not changes]

    def hear(self, references: Collection[str], *, everything: bool) -> None:
        """These references were written, or nobody knows which."""
        for watching in self._watching:
            watching.told(references)
            if everything:
                watching.forget()
