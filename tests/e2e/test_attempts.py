"""A budget that is used up at one party is used up at all, says when to come back, and survives a restart."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import Exhausted

from tests.conftest import published
from tests.e2e.test_metrics import figures
from tests.waiting import at_rest, until

TIGHT = {"party0": "attempts_gallery = 1\n", "party1": "attempts_subject = 3\n", "party2": "attempts_caller = 7\n"}
POINT = "FMR_1E3"  # few attempts: the default has ten times as many
RUNS = "visard_requests_total{method=visard.v1.Party/Run,status=RESOURCE_EXHAUSTED}"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three operators, each with another idea of how much is too much."""
    settings = {name: f"{line}attempts_seconds = 86400\n" for name, line in TIGHT.items()}
    with published(tmp_path_factory.mktemp("strict"), settings) as running:
        yield running


def refusals(cluster: Cluster) -> list[float]:
    """Runs that each party has answered with RESOURCE_EXHAUSTED."""
    shown = figures(cluster)
    return [shown[f"party{i}"].get(RUNS, 0) for i in range(3)]


async def budgets__should_bound_subject_gallery_and_caller_at_all_parties_alike(
    strict: Cluster, photos: dict[str, Path]
) -> None:
    async with Client(Connection.from_home(strict.home), retry=False) as client:
        for name, photo in (("ada", "obama"), ("eve", "biden")):
            await at_rest(client)  # so that what is refused is refused for its budget, and not for a lack of kits
            await client.enrol(name, [photos[photo]])
        for _ in range(3):
            await at_rest(client)
            assert (await client.verify("ada", photos["obama2"])).match
        with pytest.raises(Exhausted, match="at this subject: 3 within 86400 s") as caught:  # party 1 says so
            await client.verify("ada", photos["obama2"])
        assert caught.value.retry_after == pytest.approx(28800, abs=120)
        await until(lambda: refusals(strict) == [1, 1, 1])
        for name in ("party0", "party1", "party2"):
            strict.restart(name)
        async with Client(Connection.from_home(strict.home)) as patient:  # they compare what they hold first
            await patient.rename("ada", "ada.lovelace")  # another name is no other face
            await at_rest(patient)
        with pytest.raises(Exhausted, match="at this subject"):
            await client.verify("ada.lovelace", photos["obama2"])
        assert not (await client.verify("eve", photos["obama2"])).match
        await at_rest(client)
        assert (await client.identify(photos["obama2"])).subject == "ada.lovelace"
        with pytest.raises(Exhausted, match="gallery: 1 within") as caught:  # party 0 leads
            await client.identify(photos["obama2"])
        assert caught.value.retry_after == pytest.approx(86400, abs=120)
        with pytest.raises(Exhausted, match="gallery: 1 within"):  # nor is the gallery to be asked by enrolling
            await client.enrol("bob", [photos["obama2"]], unique=True)
        await until(lambda: refusals(strict) == [3, 3, 3])
        with pytest.raises(Exhausted, match="by this caller: 7 within"):  # party 2 has counted everything
            for _ in range(7):
                await at_rest(client)
                await client.compare(photos["obama"], photos["biden"])
    async with Client(Connection.from_home(strict.home, "owner")) as other:
        assert not (await other.verify("eve", photos["obama2"])).match


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """As visard up makes it: with the budgets that follow from the model's false match rates."""
    with published(tmp_path_factory.mktemp("fresh")) as running:
        yield running


async def default_budgets__should_follow_from_the_rate_and_count_searches_at_everybody(
    fresh: Cluster, photos: dict[str, Path]
) -> None:
    """Ten verifications an hour at 1 in 1,000; a search has asked about everybody, and cannot be used to ask more."""
    async with Client(Connection.from_home(fresh.home), retry=False) as client:
        shown = {one.operating_point: one for one in (await client.status()).parties[0].attempts}
        assert [(one.subject, one.search, one.gallery) for one in (shown["default"], shown["FMR_1E3"])] == [
            (100, 50, 100),
            (10, 5, 10),
        ]
        await at_rest(client)
        await client.enrol("ada", [photos["obama"]])
        for _ in range(5):
            await at_rest(client)
            assert (await client.identify(photos["obama2"], operating_point=POINT)).subject == "ada"
        with pytest.raises(Exhausted, match="by this caller at this gallery: 5 within 3600 s"):
            await client.identify(photos["obama2"], operating_point=POINT)
        for _ in range(5):
            await at_rest(client)
            assert (await client.verify("ada", photos["obama2"], operating_point=POINT)).match
        with pytest.raises(Exhausted, match="at this subject: 10 within 3600 s"):
            await client.verify("ada", photos["obama2"], operating_point=POINT)
    async with Client(Connection.from_home(fresh.home, "verifier"), retry=False) as other:
        with pytest.raises(Exhausted, match="at this subject"):  # nor by another caller
            await other.verify("ada", photos["obama2"], operating_point=POINT)
        await at_rest(other)
        assert (await other.identify(photos["obama2"], operating_point=POINT)).subject == "ada", (
            "a search finds whom verifications have used up"
        )
