"""A party that its database refuses, or that refuses its database, lives, says why, and serves when that is mended."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2
from visard import certs
from visard.cluster import Cluster, free_port_base

from bench.mongod import Mongod
from tests.recovery.test_database_away import health_of, says, until


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path / "home", free_port_base())
    made.prepare()
    yield made
    made.stop()


def configure(cluster: Cluster, uri: str) -> None:
    settings = cluster.home / "party1.toml"
    text = re.sub("^store = .*$", f'store = "{uri}"', settings.read_text(), flags=re.M)
    (cluster.home / "party1.new").write_text(text)
    (cluster.home / "party1.new").replace(settings)


@pytest.mark.parametrize(
    ("wrong", "reason"), [("password", "user or password"), ("authority", "certificate is not accepted: ")]
)
def party_that_its_database_does_not_take__should_wait_and_then_serve(
    prepared: Cluster, database: Mongod, tmp_path: Path, wrong: str, reason: str
) -> None:
    certs.init(tmp_path / "other")
    right = database.uri(wrong)
    authority = right.replace(str(database.directory / "certs" / "ca.pem"), str(tmp_path / "other" / "ca.pem"))
    configure(prepared, database.uri(wrong, password="battery-staple") if wrong == "password" else authority)
    prepared.spawn("party1")
    until(lambda: says(prepared, '"event": "waiting for the store"'), "a line for each attempt")
    assert says(prepared, reason)
    assert health_of(prepared) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert health_of(prepared, "live") == health_pb2.HealthCheckResponse.SERVING
    configure(prepared, right)
    until(lambda: says(prepared, '"event": "store opened"'), "its operator has mended it, and not restarted it")
    assert prepared.processes["party1"].poll() is None
    words = prepared._own_log("party1")
    assert not any(secret in words for secret in ("staple", "horse", "Traceback"))
