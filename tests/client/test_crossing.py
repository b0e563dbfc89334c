"""An export writes page behind page and goes on where it stopped; an import takes whole files, in order, and no others."""

import asyncio
import fcntl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from visard.client import Client, Connection
from visard.crossing import MAGIC
from visard.errors import InconsistentAnswer, InvalidRequest, Unavailable, UntrustedKey
from visard.sync import SyncClient
from visard_common import errors as faults
from visard_wire import crossing
from visard_wire.limits import CROSSING_AGE_MS
from visard_wire.v1 import common_pb2, crossing_pb2, gateway_pb2, gateway_pb2_grpc

from tests.client.double import Double, running

PAGES = ([1, 2, 3], [4, 5], [6])


class Crossing(Double, gateway_pb2_grpc.AdminServicer):
    """A source whose gallery has these pages, and a destination that stores what it is brought; each knows only one client."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []
        self.stored: list[int] = []
        self.older_ms = 0

    async def _shares(self, uploads: AsyncIterator[common_pb2.Upload]) -> tuple[common_pb2.Request, list[Any]]:
        header = (await anext(aiter(uploads))).header
        data = [b"", b"", b""]
        async for message in uploads:
            data[message.chunk.party] += message.chunk.data
        return header.request, self._opened(header.request, [info.key_id for info in header.shares], data)

    async def Export(self, request_iterator: Any, context: Any) -> gateway_pb2.Result:
        request, opened = await self._shares(request_iterator)
        await self._begin("Export", context)
        terms = crossing_pb2.ExportTerms.FromString(opened[0][1].reveal())
        self.asked.append(terms.after)
        number = next(k for k, ids in enumerate(PAGES) if not terms.after or f"{ids[0]:032x}" > terms.after)
        page = crossing_pb2.CrossingPage(
            series=terms.series,
            sent_unix_ms=request.sent_unix_ms - self.older_ms,
            destination=request.deployment,
            recipients_digest=crossing.recipients_digest([key.public_key for key in terms.recipients]),
            gallery=request.gallery or "default",
            model=request.model,
            after=terms.after,
            last=number == len(PAGES) - 1,
            references=[crossing_pb2.CrossingReference(reference_id=f"{one:032x}") for one in PAGES[number]],
        ).SerializeToString()
        pieces = [common_pb2.SealedEnvelope(key_id=bytes(8), ciphertext=bytes([k]) * 9) for k in range(3)]
        parts = [crossing_pb2.CrossingPart(party=k, page=page, pieces=pieces, signature=b"s") for k in range(3)]
        outcomes = [common_pb2.Outcome(crossing=part.SerializeToString()) for part in parts]
        return gateway_pb2.Result(results=self._sealed(request, [reply for reply, _ in opened], outcomes))

    async def Import(self, request_iterator: Any, context: Any) -> gateway_pb2.Result:
        request, opened = await self._shares(request_iterator)
        await self._begin("Import", context)
        shares = [crossing_pb2.CrossingShare.FromString(share.reveal()) for _, share in opened]
        assert [share.parts[0].piece.ciphertext[0] for share in shares] == [0, 1, 2], "each its own"
        page = crossing_pb2.CrossingPage.FromString(shares[0].page)
        self.stored += [int(row.reference_id, 16) for row in page.references]
        outcomes = [common_pb2.Outcome(references_changed=len(page.references)) for _ in range(3)]
        return gateway_pb2.Result(results=self._sealed(request, [reply for reply, _ in opened], outcomes))


def _crossing(folder: Path) -> Crossing:
    return Crossing(folder)  # type: ignore[abstract]  # what it has not is answered with UNIMPLEMENTED


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Crossing, Connection]]:
    async with running(tmp_path / "certs", _crossing) as found:
        yield found


@pytest.fixture
async def file(served: tuple[Crossing, Connection], tmp_path: Path) -> Path:
    """What an export writes."""
    double, connection = served
    path = tmp_path / "staff"
    async with Client(connection, gallery="staff") as client:
        done = await client.admin.export_gallery("berlin", await client.admin.recipients(), path)
    assert (done.references, done.pages, done.gallery, done.model) == (6, 3, "staff", "face")
    double.asked.clear()
    return path


def pages(path: Path) -> list[bytes]:
    """The pages of a file, each with its head."""
    data, found = path.read_bytes().removeprefix(MAGIC), list[bytes]()
    while data:
        size = 12 + int.from_bytes(data[:4], "big")
        found, data = [*found, data[:size]], data[size:]
    return found


async def file__should_be_taken_as_it_was_written(served: tuple[Crossing, Connection], file: Path) -> None:
    double, connection = served
    told = list[int]()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.with_name("staff.part").exists()
    async with Client(connection) as client:
        done = await client.admin.import_gallery("paris", file, told.append)
        assert (done.references, done.stored, done.pages, told) == (6, 6, 3, [3, 5, 6])
        assert double.stored == [1, 2, 3, 4, 5, 6]

    def work() -> int:
        with SyncClient(connection) as blocking:
            return blocking.admin.import_gallery("paris", file).references

    assert await asyncio.to_thread(work) == 6


@pytest.mark.parametrize("left", [0, 5, 16, 40, -1, -30])
async def export_that_was_cut_off__should_go_on(
    served: tuple[Crossing, Connection], file: Path, tmp_path: Path, left: int
) -> None:
    """Also in the middle of a page, or of the file's first bytes."""
    double, connection = served
    whole = pages(file)
    (tmp_path / "again.part").write_bytes((MAGIC + whole[0] + whole[1])[:left])
    async with Client(connection, gallery="staff") as client:
        recipients = await client.admin.recipients()
        done = await client.admin.export_gallery("berlin", recipients, tmp_path / "again")
        assert (done.references, done.pages) == (6, 3)
        assert double.asked[0] == ("" if left >= 0 else f"{3:032x}"), "behind the last whole page"
        assert (await client.admin.import_gallery("paris", tmp_path / "again")).stored == 6
        with pytest.raises(InvalidRequest, match="exists already"):
            await client.admin.export_gallery("berlin", recipients, tmp_path / "again")


async def export_that_was_begun_long_ago__should_begin_anew(
    served: tuple[Crossing, Connection], tmp_path: Path
) -> None:
    """Who was erased since is in it, and the other deployment takes no old page."""
    double, connection = served
    async with Client(connection, gallery="staff") as client:
        recipients = await client.admin.recipients()
        double.older_ms = CROSSING_AGE_MS
        await client.admin.export_gallery("berlin", recipients, tmp_path / "old")
        (tmp_path / "again.part").write_bytes(MAGIC + pages(tmp_path / "old")[0])
        with pytest.raises(InvalidRequest, match="too long ago"):
            await client.admin.export_gallery("berlin", recipients, tmp_path / "again")


async def export_that_failed__should_keep_what_it_has(served: tuple[Crossing, Connection], tmp_path: Path) -> None:
    double, connection = served
    async with Client(connection, gallery="staff", retry=False) as client:
        recipients = await client.admin.recipients()

        def then_fail(count: int) -> None:
            double.faults = [faults.Unavailable("restarting")]

        with pytest.raises(Unavailable):
            await client.admin.export_gallery("berlin", recipients, tmp_path / "again", then_fail)
        assert not (tmp_path / "again").exists()
        assert len(pages(tmp_path / "again.part")) == 1
        # another gallery, another destination or other keys are another export
        for change in ({"to": "rome"}, {"recipients": recipients.replace(b"publicKey", b"signature", 1)}):
            arguments: dict[str, Any] = {"to": "berlin", "recipients": recipients, "file": tmp_path / "again"} | change
            with pytest.raises(InvalidRequest):
                await client.admin.export_gallery(**arguments)
        done = await client.admin.export_gallery("berlin", recipients, tmp_path / "again")
        assert done.references == 6


async def file_that_is_not_whole__should_be_refused_before_anything_is_sent(
    served: tuple[Crossing, Connection], file: Path, tmp_path: Path
) -> None:
    double, connection = served
    first, second, third = pages(file)
    async with Client(connection, gallery="staff") as client:
        await client.admin.export_gallery("berlin", await client.admin.recipients(), tmp_path / "other")
        other = pages(tmp_path / "other")
        for wrong in (
            [second, third],
            [first, third],
            [second, first, third],
            [first, second],
            [first, second, third, third],
            [first, other[1], third],
            [first, second, third[:-1]],
            [first, second[:-1] + b"x", third],
            [],
        ):
            path = tmp_path / "wrong"
            path.write_bytes(MAGIC + b"".join(wrong))
            with pytest.raises(InvalidRequest, match="wrong"):
                await client.admin.import_gallery("paris", path)
        for data in (b"", b"photo", first):
            path.write_bytes(data)
            with pytest.raises(InvalidRequest, match="no file that visard gallery export has written"):
                await client.admin.import_gallery("paris", path)
    assert double.stored == []


async def parties_that_give_different_pages__should_be_noticed(
    served: tuple[Crossing, Connection], tmp_path: Path
) -> None:
    double, connection = served

    def spoil(outcomes: list[common_pb2.Outcome]) -> None:
        part = crossing_pb2.CrossingPart.FromString(outcomes[1].crossing)
        part.page += b"\x12\x01x"
        outcomes[1].crossing = part.SerializeToString()

    double.spoil = spoil
    async with Client(connection) as client:
        recipients = await client.admin.recipients()
        with pytest.raises(InconsistentAnswer, match="different pages"):
            await client.admin.export_gallery("berlin", recipients, tmp_path / "file")
        double.spoil = lambda outcomes: outcomes[2].ClearField("crossing")
        with pytest.raises(InconsistentAnswer, match="different pages"):
            await client.admin.export_gallery("berlin", recipients, tmp_path / "file")
    assert list(tmp_path.glob("file*")) == []


@pytest.mark.parametrize("recipients", [b"", b"{}", b"[]", b"\xff", b'{"recipients": [{}]}', b'{"others": 1}', "{}"])
async def other_recipients__should_be_refused(
    served: tuple[Crossing, Connection], tmp_path: Path, recipients: Any
) -> None:
    _, connection = served
    async with Client(connection) as client:
        with pytest.raises(InvalidRequest, match="recipients"):
            await client.admin.export_gallery("berlin", recipients, tmp_path / "file")


async def recipients__should_be_the_keys_that_parties_have_signed(served: tuple[Crossing, Connection]) -> None:
    double, connection = served
    async with Client(connection) as client:
        told = json_format.Parse(await client.admin.recipients(), crossing_pb2.ExportTerms())
    assert list(told.recipients) == double.signed


async def recipients_that_are_not_the_parties_newest__should_be_refused(served: tuple[Crossing, Connection]) -> None:
    """As a gateway may offer them that keeps old keys, or makes its own."""
    double, connection = served
    async with Client(connection) as client:
        await client.admin.recipients()
        newest, double.signed = (
            double.signed,
            [common_pb2.PartyKey.FromString(k.SerializeToString()) for k in double.signed],
        )
        double.signed[1].public_key = bytes(32)
        with pytest.raises(UntrustedKey):
            await client.admin.recipients()
        double.signed = newest[:2]
        with pytest.raises(UntrustedKey):
            await client.admin.recipients()
        double.signed = newest
        client._caller._seen.admit({1: newest[1].serial + 1})
        with pytest.raises(UntrustedKey, match="older"):
            await client.admin.recipients()


@pytest.mark.parametrize(
    "changed",
    [
        {"destination": "rome"},
        {"gallery": "other"},
        {"model": "other"},
        {"recipients_digest": b"x"},
        {"series": b"s" * 16},
    ],
)
async def page_of_something_else__should_not_be_written(
    served: tuple[Crossing, Connection], tmp_path: Path, changed: dict[str, Any]
) -> None:
    """Also where all three parties say so."""
    double, connection = served

    def spoil(outcomes: list[common_pb2.Outcome]) -> None:
        for outcome in outcomes:
            part = crossing_pb2.CrossingPart.FromString(outcome.crossing)
            page = crossing_pb2.CrossingPage.FromString(part.page)
            page.MergeFrom(crossing_pb2.CrossingPage(**changed))
            part.page = page.SerializeToString()
            outcome.crossing = part.SerializeToString()

    double.spoil = spoil
    async with Client(connection, gallery="staff") as client:
        recipients = await client.admin.recipients()
        with pytest.raises(InconsistentAnswer, match="than was asked for"):
            await client.admin.export_gallery("berlin", recipients, tmp_path / "file")
    assert list(tmp_path.glob("file*")) == []


async def unfinished_export__should_be_one_programs_one_users_and_in_order(
    served: tuple[Crossing, Connection], file: Path, tmp_path: Path
) -> None:
    _, connection = served
    part, (first, second, third) = tmp_path / "again.part", pages(file)
    async with Client(connection, gallery="staff") as client:
        recipients = await client.admin.recipients()
        for wrong in ([second], [first, third], [first, first]):
            part.write_bytes(MAGIC + b"".join(wrong))
            with pytest.raises(InvalidRequest, match="do not follow each other"):
                await client.admin.export_gallery("berlin", recipients, tmp_path / "again")
        part.write_bytes(MAGIC + first)
        part.chmod(0o644)
        with part.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(InvalidRequest, match="another program"):
                await client.admin.export_gallery("berlin", recipients, tmp_path / "again")
        await client.admin.export_gallery("berlin", recipients, tmp_path / "again")
        assert stat.S_IMODE((tmp_path / "again").stat().st_mode) == 0o600
        aim = tmp_path / "aim"
        (tmp_path / "linked.part").symlink_to(aim)
        with pytest.raises(InvalidRequest, match="cannot be written"):
            await client.admin.export_gallery("berlin", recipients, tmp_path / "linked")
        assert not aim.exists()
