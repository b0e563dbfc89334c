"""The backends that every test of a ``uri`` or a ``store`` runs on. A new one is added to ``BACKENDS``."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visard_party.store import open_store
from visard_party.store.base import Store

BACKENDS = ["sqlite", "replica_set", "standalone"]


@pytest.fixture
def uri(request: pytest.FixtureRequest) -> str:
    """A store of its own for each test."""
    if request.param == "sqlite":
        return "sqlite"
    return str(request.getfixturevalue(request.param).uri(f"test_{os.urandom(6).hex()}"))


@pytest.fixture
async def store(uri: str, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(uri, tmp_path, 0)
    yield opened
    await opened.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "uri" in metafunc.fixturenames:
        metafunc.parametrize("uri", BACKENDS, indirect=True)
