"""What users import is exactly this, and it works without async as well."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import visard
from visard.capture import Chip
from visard.client import Connection
from visard.errors import InvalidRequest, NotFound, UntrustedKey, VisardError
from visard.sync import SyncClient
from visard_common import errors as faults

from tests.client.double import serving

PIXELS = np.random.default_rng(1).integers(0, 256, (150, 150, 3), dtype=np.uint8)
CHIP = Chip(PIXELS, PIXELS)


async def sync_client__should_answer_in_a_thread_without_a_loop(tmp_path: Path) -> None:
    def work(connection: Connection) -> tuple[bool, int, str]:
        with SyncClient(connection) as client:
            found = client.verify("ann", CHIP).match, len(client.subjects())
            double.faults = [faults.NotFound("no subject")]
            with pytest.raises(NotFound) as caught:
                client.delete("bob")
            return *found, str(caught.value)

    async with serving(tmp_path / "certs") as (double, connection):
        assert await asyncio.to_thread(work, connection) == (True, 3, "no subject")


def connection__should_name_the_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"client\.toml"):
        Connection.from_home(tmp_path)


def package__should_export_these_names() -> None:
    assert sorted(visard.__all__) == [
        "CaptureError", "Chip", "Client", "Connection", "Enrolment", "Identification", "Report", "RequestError",
        "ServiceError", "SyncClient", "TrustError", "Verification", "VisardError", "__version__", "capture",
    ]  # fmt: skip
    for name in visard.__all__:
        assert getattr(visard, name)
    assert issubclass(UntrustedKey, VisardError)
    with pytest.raises(AttributeError):
        _ = visard.nothing
