"""A share of the campaign (``make attacks`` runs all of it): one party lies, and no wrong answer passes, and nothing hangs."""

from collections import Counter

import pytest
from visard_engine.field import Elements
from visard_engine.protocols import opening, verification
from visard_engine.session import Session

from tests.attacks.campaign import kinds, plan, services
from tests.attacks.campaign.plan import BESIDE, OTHER_SHARES, RUNS, TURN
from tests.attacks.campaign.services import SPOILT

SEED = 20261127
SHARE = 60
REQUESTS = (*range(8), SPOILT - 1)  # lies about the state of a write and about messages, and a spoilt share


def campaign__should_find_every_lie_harmless() -> None:
    reports = [plan.run(SEED * RUNS + k) for k in range(SHARE)]
    assert not [str(report) for report in reports if report.bad]
    assert not kinds.missing(plan.attacked(reports))
    assert Counter(report.became for report in reports)["aborted"] > SHARE // 2


def kinds_of_the_sources__should_all_occur_in_honest_runs() -> None:
    """A new kind is to occur in a question of the campaign."""
    assert len(kinds.named_in_sources()) > 10
    assert not kinds.missing({target.kind for target in plan.targets()})
    assert kinds.missing({"degree"}) > {"alarms", "coin"}


def run__should_be_the_same_again() -> None:
    for k in range(0, 2 * TURN, 7):
        assert str(plan.run(k)) == str(plan.run(k))


def campaign__should_notice_what_is_not_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an engine that opens the differences and does not look at them."""

    async def blind(s: Session, share: Elements, kind: str) -> Elements:
        opened = await opening.open_lines(s, share, kind)
        return s.field.scale(opened, 0) if kind == "differences" else opened

    monkeypatch.setattr(verification, "open_lines", blind)
    first = SEED * RUNS + BESIDE.index(OTHER_SHARES)
    assert any(plan.run(first + TURN * k).bad for k in range(20))


def services_of_which_one_lies__should_answer_right_or_not_at_all() -> None:
    reports = list(services.reports([SEED * RUNS + k for k in REQUESTS]))
    assert len(reports) == len(REQUESTS)
    assert not [str(report) for report in reports if report.bad]
    assert any(report.became == "aborted" for report in reports)
