"""Real photos go through gateway, parties and dealer, and the answers are those of the float network in plaintext."""

from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import InvalidRequest, NotFound

from tests.e2e.people import pairs


async def enrolled_person__should_be_recognised_and_forgotten(cluster: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        enrolment = await client.enrol("obama", [photos["obama"]])
        assert len(enrolment.references) == 1
        assert {s.subject: s.references for s in await client.subjects()}["obama"] == 1
        assert (await client.verify("obama", photos["obama2"])).match
        assert not (await client.verify("obama", photos["biden"])).match
        assert (await client.identify(photos["obama2"])).subject == "obama"
        assert (await client.identify(photos["biden"])).subject is None
        assert await client.delete("obama") == 1
        with pytest.raises(NotFound, match="obama"):
            await client.verify("obama", photos["obama2"])
        assert "obama" not in {s.subject for s in await client.subjects()}


async def search__should_name_all_that_are_near_enough(cluster: Cluster, photos: dict[str, Path]) -> None:
    """Two names of one person, one of them with two references; and the nearest alone for whoever asks for it."""
    async with Client(Connection.from_home(cluster.home)) as client:
        one = await client.enrol("one-name", [photos["obama"]])
        other = await client.enrol("other-name", [photos["obama"], photos["obama2"]])
        await client.enrol("somebody-else", [photos["biden"]])
        found = await client.identify(photos["obama2"], operating_point="default")
        assert {candidate.reference_id for candidate in found.candidates} == {*one.references, *other.references}
        assert {candidate.subject for candidate in found.candidates} == {"one-name", "other-name"}
        assert (found.subject, found.known, found.more) == (None, True, False)
        each = await client.identify_each([photos["biden"], photos["obama2"]], operating_point="default")
        assert [answer.subject for answer in each] == ["somebody-else", None]
        assert set(each[1].candidates) == set(found.candidates), "as if it had been asked about alone"
        nearest = await client.identify(photos["obama2"], operating_point="default", nearest=True)
        assert (nearest.subject, nearest.candidates) == ("other-name", ()), "the very photo"
        assert nearest.report.rounds > found.report.rounds
        for name in ("one-name", "other-name", "somebody-else"):
            await client.delete(name)


async def several_references__should_all_be_compared(cluster: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        enrolment = await client.enrol("two-faces", [photos["obama"], photos["biden"]])
        assert len(set(enrolment.references)) == 2
        for probe in ("obama2", "biden"):
            assert (await client.verify("two-faces", photos[probe])).match
        assert await client.delete("two-faces") == 2


async def decisions__should_equal_the_float_network_on_real_pairs(cluster: Cluster, shared: Path) -> None:
    chosen = pairs(shared, same=5, different=5)
    async with Client(Connection.from_home(cluster.home)) as client:
        answers = [(await client.compare(pair.first, pair.second)).match for pair in chosen]
    assert answers == [pair.float_match for pair in chosen]
    assert sum(answers) >= 4


async def cost__should_be_what_the_design_says(cluster: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        report = (await client.compare(photos["obama"], photos["obama2"])).report
    # 29 ReLUs and 4 pooling stages of 3 rounds and one truncation (100), for both photos together; the tests of what was
    # shared (1) and of what came out (4), its length (1), and one comparison (3); twice a verification (3) and an agreement (2)
    assert report.rounds == 100 + 6 + 3 + 2 * 5
    assert report.sent_mb_per_party == pytest.approx(2 * 6.54 + 0.49, rel=0.01)  # one verification for both photos
    assert report.kit_mb == pytest.approx(2 * 12.73, rel=0.01)


async def operating_point__should_be_one_of_the_model(cluster: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        with pytest.raises(InvalidRequest, match=r"operating_point.*default"):
            await client.compare(photos["obama"], photos["biden"], operating_point="lenient")
