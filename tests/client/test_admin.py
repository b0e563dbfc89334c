"""An audit names exactly the references that differ, in at most log2 steps."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from visard import audit, received
from visard.results import Holdings
from visard_party.consistency.sets import Holdings as Stored
from visard_party.consistency.watch import node_message
from visard_party.store.contents import Name


class Parties:
    """Three parties' answers, and how often they were asked."""

    def __init__(self, parties: Sequence[dict[str, Name]]) -> None:
        self.stored = [Stored(list(names.values()), ()) for names in parties]
        self.questions = 0

    async def holdings(self, prefixes: Sequence[str]) -> list[list[Holdings]]:
        self.questions += 1
        return [[received.holdings(node_message(one.node(prefix))) for prefix in prefixes] for one in self.stored]


@pytest.mark.parametrize("count", [4, 16, 17, 300, 20_000])
async def audit__should_name_what_differs_in_at_most_log2_steps(count: int) -> None:
    generator = random.Random(count)
    names = [Name(generator.randbytes(16).hex(), f"s{k}", "face", 1) for k in range(count)]
    parties = [{name.reference_id: name for name in names} for _ in range(3)]
    lost, renamed, older, extra = (generator.choice(names).reference_id for _ in range(4))
    parties[0].pop(lost)
    for party, name, change in ((1, renamed, {"subject": "eve"}), (2, older, {"version": 0})):
        if name in parties[party]:
            parties[party][name] = replace(parties[party][name], **cast(Any, change))
    parties[2]["f" * 32] = Name("f" * 32, extra, "face", 1)
    asked = Parties(parties)
    found = await audit.find(asked.holdings)
    assert {row.reference_id for row in found.differences} == {lost, renamed, older, "f" * 32}
    for row in found.differences:
        views = [table.get(row.reference_id) for table in parties]
        assert row.parties == tuple(
            view and (view.subject, view.model, view.version, view.enrolled_by, view.gallery) for view in views
        )
    assert found.counts == tuple(map(len, parties))
    assert found.steps == asked.questions <= math.log2(count)


async def equal_parties__should_take_one_question() -> None:
    names = {f"{k:032x}": Name(f"{k:032x}", "ada", "face", 1) for k in range(100)}
    asked = Parties([names] * 3)
    found = await audit.find(asked.holdings)
    assert found.clean
    assert asked.questions == 1
