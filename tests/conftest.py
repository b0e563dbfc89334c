"""What many tests share: the data beside the project, photos, and one running cluster for all end-to-end tests."""

import asyncio
import functools
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.cluster import Cluster, free_port_base
from visard.owner import publish
from visard.owner.networks.names import FACE_SMALL
from visard_party.intake.sealingfiles import KeyFiles

from bench.mongod import Mongod
from tests import naming
from tests.mending import mend

# tests ask about one subject again and again; those of the budgets have clusters of their own
PUBLISH_SECONDS = 240  # a whole network, at services that have just begun, on a machine that is busy
UNLIMITED = dict.fromkeys(("attempts_subject", "attempts_gallery", "attempts_search", "attempts_caller"), "0")
SHARED = Path(__file__).parents[2] / "shared"
BESIDE = ("data/lfw-dev", "data/orl", "reference/face_resnet_descriptors.npz")
PHOTOS = Path(__file__).parents[1] / ".photos"
_HTTP, _PAGE = 6, 7  # from a cluster's first port on
pytest_pycollect_makeitem = naming.pytest_pycollect_makeitem


def pytest_configure() -> None:
    """Programs that a script starts in the background ignore Ctrl-C, and so do those that they start; tests send it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # what a service logs within a test: plain, for a traceback that is coloured and framed costs 50 ms, and some log thousands
    *others, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*others, plain])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Before anything else ends, the shared cluster is whole again: for what is still to be cleaned up, and the next test."""
    cluster = getattr(item, "funcargs", {}).get("cluster")
    try:
        if isinstance(cluster, Cluster):
            mend(cluster)
    finally:
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Data beside the project; a test that needs it fails without it, and says what is missing."""
    needed([SHARED / name for name in BESIDE], "see Tests in README.md")
    return SHARED


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    """The photos of the demonstration, fetched by make."""
    found = {name: PHOTOS / f"{name}.jpg" for name in ("obama", "obama2", "biden")}
    needed(found.values(), "make .photos/obama.jpg fetches them")
    return found


def needed(paths: Iterable[Path], remedy: str) -> None:
    """Fail by name where a test has not what it needs."""
    if missing := [str(path.resolve()) for path in paths if not path.exists()]:
        pytest.fail(f"missing: {', '.join(missing)} ({remedy})", pytrace=False)


@pytest.fixture(scope="session")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A mongod as a replica set of one, with TLS and passwords."""
    yield from _mongod(tmp_path_factory, replica_set=True)


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A mongod on its own."""
    yield from _mongod(tmp_path_factory, replica_set=False)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A replica set of a module's own, which its tests stop, kill and start again."""
    yield from _mongod(tmp_path_factory, replica_set=True)


def _mongod(tmp_path_factory: pytest.TempPathFactory, *, replica_set: bool) -> Iterator[Mongod]:
    server = Mongod(tmp_path_factory.mktemp("mongod"), replica_set)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def http_address(cluster: Cluster) -> str:
    """Where the gateway answers browsers: of the ports that a cluster leaves free."""
    return f"https://localhost:{cluster.base_port + _HTTP}"


def page_address(cluster: Cluster) -> str:
    """The origin of the one site whose pages may ask there."""
    return f"https://localhost:{cluster.base_port + _PAGE}"


@contextmanager
def published(
    home: Path, settings: Mapping[str, str] = MappingProxyType({}), *, browsers: bool = False, **options: Any
) -> Iterator[Cluster]:
    """Five services as processes, with the face network published, for as long as the block lasts.

    ``settings``: further lines of a service's file, by its name; ``browsers``: the gateway answers them as well;
    ``options``: of Cluster.
    """
    running = Cluster(home, free_port_base(options.get("workers", 0)), **options)
    running.prepare()
    at, origin = http_address(running).replace("https://localhost", "127.0.0.1"), page_address(running)
    http = {"gateway": f'http_listen = "{at}"\nhttp_origins = ["{origin}"]\n'} if browsers else {}
    for name, lines in [*settings.items(), *http.items()]:
        path = home / f"{name}.toml"
        path.write_text(lines + path.read_text())
    try:
        running.start()
        publish_face(home)
        yield running
    finally:
        running.stop()


@functools.cache
def compiled_face() -> publish.Compiled:
    """The face network as it is published; all tests of a process have one, and change nothing of it."""
    made = publish.compile_face_model(network=FACE_SMALL)
    made.weights.flags.writeable = False
    return made


def publish_face(home: Path) -> None:
    """Publish the face network at a fresh cluster."""

    async def work() -> None:
        async with Client(Connection.from_home(home, "owner"), deadline=PUBLISH_SECONDS) as owner:
            await publish.publish(owner, DEFAULT_MODEL, compiled_face())

    asyncio.run(work())


def sealing_key(data_dir: Path) -> X25519PrivateKey:
    """The sealing key that a party offers, read from its disk as a thief would."""
    return max(KeyFiles(data_dir / "sealing").read(), key=lambda key: key.term).private


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Five services as processes, with the face network published. Tests leave no subject; all else is mended after each."""
    home = tmp_path_factory.mktemp("home")
    with published(home, browsers=True, expiry_interval=1.0, options=UNLIMITED) as running:
        yield running
