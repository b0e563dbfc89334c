"""How far back the log of writes reaches: when finished writes and tombstones may be forgotten at all three parties. Pure.

A request that has expired is started by no party, so a write whose request expired long enough ago comes from nobody any more:
neither again, nor late. Its entry serves nothing once all three have finished it; nor does the tombstone that its deletion left,
for what it erased was committed everywhere before. The parties must forget alike, because they compare hashes of their logs. So
there is one horizon, a time that only grows: the hash counts what expired after it, and what expired before is deleted at
leisure. Party 0 moves it, when all three have just shown that they hold the same with nothing pending, and the others follow
what they hear; so does party 0, after it has lost its own.
"""

from dataclasses import dataclass, field

from visard_common.limits import LEADER, MAX_AHEAD_MS, MAX_EXPIRY_MS

from visard_party.consistency.sets import View

STEP_MS = 600_000  # it moves in steps, so that the parties' views differ in it for moments only


@dataclass
class Horizon:
    """``longest_ms`` is how long a run may last, after which no write of an expired request is under way anywhere."""

    party: int
    longest_ms: int
    at: int = 0
    forgotten: int = 0  # what expired before this is deleted here
    _heard: dict[int, View] = field(default_factory=dict)

    def latest(self, now_unix_ms: int) -> int:
        """How far it may have moved by now."""
        return now_unix_ms - 2 * MAX_EXPIRY_MS - self.longest_ms

    def hear(self, peer: int, theirs: View, now_unix_ms: int) -> None:
        """What a peer has said; one that is ahead of any honest clock is not followed."""
        self._heard[peer] = theirs
        if self.at < theirs.horizon <= self.latest(now_unix_ms) + MAX_AHEAD_MS:
            self.at = theirs.horizon

    def lost(self, peer: int) -> None:
        """A link has ended: what that peer said is old, and the horizon stays until it is heard again."""
        self._heard.pop(peer, None)

    def agreed(self, own: View) -> bool:
        """Whether both peers hold what this party holds, and nobody has anything pending."""
        views = [own, *self._heard.values()]
        return len(views) == 3 and all(view.holds_as(own) and not view.pending for view in views)

    def move(self, own: View, now_unix_ms: int) -> bool:
        """At party 0: whether it has moved."""
        wanted = self.latest(now_unix_ms) // STEP_MS * STEP_MS
        if self.party != LEADER or wanted <= self.at or not self.agreed(own):
            return False
        self.at = wanted
        return True

    def due(self, own: View) -> int | None:
        """What expired before this is to be deleted now; None for nothing."""
        return self.at if self.at > self.forgotten and self.agreed(own) else None
