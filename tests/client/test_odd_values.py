"""Whatever a program passes to a public method, it gets an answer, or an error that names the argument."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from visard import certs
from visard.admin import Admin
from visard.capture import Chip
from visard.client import Client, Connection
from visard.errors import InvalidRequest, VisardError
from visard.galleries import Galleries
from visard.registry import Models

from tests.client.double import serving

PIXELS = np.random.default_rng(1).integers(0, 256, (150, 150, 3), dtype=np.uint8)
CHIP = Chip(PIXELS, PIXELS)
GOOD: dict[str, Any] = {
    "subject": "ann",
    "new_subject": "bob",
    "photo": CHIP,
    "other": CHIP,
    "photos": [CHIP],
    "image": PIXELS,
    "operation": "verify",
    "name": "face",
    "program": b"{}",
    "digest": bytes(32),
    "weights": np.arange(8),
    "q": 31,
    "prefixes": [""],
    "party": 1,
    "grantee": "enroller/kiosk-7",
    "accept": True,
    "to": "face2",
    "recipients": b"{}",
    "source": "berlin",
    "file": Path("no such folder") / "gallery",
    "points": {"default": 0.5},
}
ODD: dict[str, Any] = {
    "none": None,
    "negative": -1,
    "large": 1 << 40,
    "fraction": 1.5,
    "nan": float("nan"),
    "empty text": "",
    "half a surrogate": "\ud800",
    "long text": "x" * 300_000,
    "bytes": b"\xff\x00",
    "no items": [],
    "mapping": {"a": 1},
    "nested": [[object()]],
    "object": object(),
    "no pixels": np.zeros((0, 0, 3), np.uint8),
    "words": np.array(["a", "b"]),
    "no such file": Path("no such file"),
    "type": int,
}
PUBLIC = {
    f"{part}{name}": member
    for part, kind in (("", Client), ("models.", Models), ("galleries.", Galleries), ("admin.", Admin))
    for name, member in inspect.getmembers(kind, inspect.iscoroutinefunction)
    if not name.startswith("_")
}
CASES = [
    (name, parameter)
    for name, member in PUBLIC.items()
    for parameter in inspect.signature(member).parameters
    if parameter not in ("self", "more")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "certs"
    certs.init(path)
    return path


def passed(method: Callable[..., Any], parameter: str, odd: Any) -> dict[str, Any]:
    """Arguments of which one is odd, and the others as they should be."""
    needed = {
        name: GOOD[name]
        for name, shown in inspect.signature(method).parameters.items()
        if shown.default is inspect.Parameter.empty and shown.kind is not inspect.Parameter.VAR_POSITIONAL
    }
    return needed | {parameter: odd}


@pytest.mark.parametrize(("name", "parameter"), CASES)
async def odd_value__should_be_an_error_of_ours_or_name_the_argument(folder: Path, name: str, parameter: str) -> None:
    async with serving(folder) as (_, connection), Client(connection, retry=False, deadline=60) as client:
        method = attrgetter(name)(client)
        for kind, odd in ODD.items():
            with suppress(VisardError):
                try:
                    await method(**passed(method, parameter, odd))
                except (ValueError, TypeError) as error:
                    if parameter not in str(error):
                        raise AssertionError(f"{kind}: {error!r}") from error


@pytest.mark.parametrize("deadline", [0, -1, float("nan"), float("inf"), "soon", None])
def odd_deadline__should_be_refused(folder: Path, deadline: Any) -> None:
    connection = Connection("localhost:1", folder / "ca.pem", folder / "client.pem", folder / "client.key")
    with pytest.raises(InvalidRequest, match="deadline"):
        Client(connection, deadline=deadline)


@pytest.mark.parametrize("file", ["ca.pem", "client.pem", "client.key"])
@pytest.mark.parametrize(
    "content", [None, b"", b"damaged", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def damaged_file__should_be_named(tmp_path: Path, file: str, content: bytes | None) -> None:
    certs.init(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(InvalidRequest, match=file):
        Client(Connection("localhost:1", tmp_path / "ca.pem", tmp_path / "client.pem", tmp_path / "client.key"))


@pytest.mark.parametrize("content", [None, "gateway = ", "gateway = 'x'", "certs = 'x'", "\x00"])
def damaged_home__should_be_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "client.toml").write_text(content)
    with pytest.raises(InvalidRequest, match=r"client\.toml"):
        Connection.from_home(tmp_path)
