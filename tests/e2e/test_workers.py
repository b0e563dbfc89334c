"""A gallery spread over two workers of each party: the same answers, never a silent part of them, and more workers on the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster

from tests.conftest import UNLIMITED, published

PEOPLE = ("obama", "biden", "merkel", "johnson")


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers a party."""
    with published(tmp_path_factory.mktemp("spread"), workers=2, options=UNLIMITED) as running:
        yield running


async def search__should_find_whoever_is_held_by_whichever_worker(spread: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(spread.home)) as client:
        enrolled = [await client.enrol(f"obama-{k}", [photos["obama"]]) for k in range(6)]
        await client.enrol("biden", [photos["biden"]])
        found = await client.identify(photos["obama2"], operating_point="default")
        assert {c.reference_id for c in found.candidates} == {r for one in enrolled for r in one.references}
        assert (await client.identify(photos["biden"], operating_point="default")).subject == "biden"
        for k in range(6):
            await client.delete(f"obama-{k}")
        assert (await client.identify(photos["obama2"], operating_point="default")).subject is None
        nearest = await client.identify(photos["biden"], operating_point="default", nearest=True)
        assert nearest.subject == "biden"
        await client.delete("biden")
