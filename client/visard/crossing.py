"""A gallery that goes to another deployment: its pages, from the parties of one to a file, and from it to those of the other.

A file holds what is sealed to the parties of the destination, and what is public of the references. A page is 4 bytes of length
(big-endian), 8 bytes of SHA-256, and the page; the first 16 bytes of a file say what it is.
"""

import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from visard_wire import crossing
from visard_wire.limits import CROSSING_AGE_MS, PARTIES, SERIES_BYTES
from visard_wire.v1 import common_pb2, crossing_pb2, gateway_pb2

from visard import opening
from visard.calls import Caller
from visard.envelopes import SealedRequest
from visard.errors import InconsistentAnswer, InvalidRequest
from visard.galleries import ExportedGallery, ImportedGallery

Operation = common_pb2.Operation
Told = Callable[[int], object]
MAGIC = b"visard gallery\0\1"
_LENGTH, _CHECK = 4, 8
_LARGEST = 64 << 20
_RESUMED_MS = CROSSING_AGE_MS // 2  # of what is older too much was erased since, and too little of its time is left


async def recipients(caller: Caller) -> bytes:
    """The sealing keys of this deployment's parties, as JSON."""
    response = await caller.again(
        lambda left: caller.matching.GetParties(gateway_pb2.GetPartiesRequest(), timeout=left)
    )
    return json_format.MessageToJson(crossing_pb2.ExportTerms(recipients=response.parties)).encode()


async def exported(caller: Caller, to: str, keys: bytes, file: Path, told: Told | None) -> ExportedGallery:
    """Write the client's gallery to a file, a page at a time; what an earlier call has left unfinished is gone on with."""
    terms, path, part = _terms(keys), _path(file), _path(file).with_name(f"{_path(file).name}.part")
    if path.exists():
        raise InvalidRequest(f"{path}: exists already")
    pages = list(_resumed(part, caller, to, terms)) if part.exists() else []
    terms.series = pages[0].series if pages else os.urandom(SERIES_BYTES)
    references, last = sum(len(page.references) for page in pages), bool(pages) and pages[-1].last
    count, after = len(pages), pages[-1].references[-1].reference_id if pages and pages[-1].references else ""
    while not last:
        terms.after = after
        record = await _asked(caller, to, terms)
        page = _page(record)
        if (page.after, page.series) != (after, terms.series) or not (page.references or page.last):
            raise InconsistentAnswer("the parties gave another page than was asked for")
        _append(part, record)
        references, count, last = references + len(page.references), count + 1, page.last
        after = page.references[-1].reference_id if page.references else after
        if told is not None:
            told(references)
    part.replace(path)
    return ExportedGallery(caller.gallery, caller.model, references, count)


async def imported(caller: Caller, source: str, file: Path, told: Told | None) -> ImportedGallery:
    """Store what a file holds, a page at a time; raises InvalidRequest for a file that is not whole."""
    path = _path(file)
    _check_whole(path)
    references = stored = count = 0
    for record in _records(path):
        shares = [crossing.share_for(party, record).SerializeToString() for party in range(PARTIES)]
        stored += await _stored(caller, source, shares)
        references, count = references + len(_page(record).references), count + 1
        if told is not None:
            told(references)
    return ImportedGallery(references, stored, count)


async def _asked(caller: Caller, to: str, terms: crossing_pb2.ExportTerms) -> crossing_pb2.CrossingRecord:
    share = terms.SerializeToString()

    def send(sealed: SealedRequest, left: float) -> Awaitable[gateway_pb2.Result]:
        return caller.admin.Export(sealed.upload(), timeout=left)

    response, sent = await caller.read(
        lambda: caller.request(Operation.OPERATION_EXPORT, deployment=to), lambda: [share] * PARTIES, send
    )
    outcomes = opening.open_all(response.results, sent.context, sent.reply_keys)
    try:
        return crossing.record([crossing_pb2.CrossingPart.FromString(outcome.crossing) for outcome in outcomes])
    except (DecodeError, ValueError) as error:
        raise InconsistentAnswer(f"no page came: {error}") from error


async def _stored(caller: Caller, source: str, shares: list[bytes]) -> int:
    request = caller.request(Operation.OPERATION_IMPORT, deployment=source)
    response, sent = await caller.write(
        request, lambda: shares, lambda sealed, left: caller.admin.Import(sealed.upload(), timeout=left)
    )
    return opening.changed(opening.open_all(response.results, sent.context, sent.reply_keys))


def _terms(keys: bytes) -> crossing_pb2.ExportTerms:
    if not isinstance(keys, bytes):
        raise InvalidRequest("recipients: bytes, as visard gallery recipients writes them")
    try:
        terms = json_format.Parse(keys, crossing_pb2.ExportTerms())
    except (json_format.ParseError, ValueError) as error:
        raise InvalidRequest("recipients: JSON, as visard gallery recipients writes it") from error
    if len(terms.recipients) != PARTIES:
        raise InvalidRequest(f"recipients: the keys of {PARTIES} parties")
    return crossing_pb2.ExportTerms(recipients=terms.recipients)


def _path(file: Path | str) -> Path:
    if not isinstance(file, Path | str) or not str(file) or "\0" in str(file):
        raise InvalidRequest("file: the path of one")
    try:
        os.fsencode(file)
    except UnicodeEncodeError as error:
        raise InvalidRequest("file: the path of one") from error
    return Path(file)


def _page(record: crossing_pb2.CrossingRecord) -> crossing_pb2.CrossingPage:
    try:
        return crossing_pb2.CrossingPage.FromString(record.page)
    except DecodeError as error:
        raise InconsistentAnswer("a page is none") from error


def _append(path: Path, record: Message) -> None:
    """A page behind the others, on the disk before this returns; for this user alone."""
    data = record.SerializeToString()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        head = b"" if os.fstat(descriptor).st_size else MAGIC
        file.write(head + len(data).to_bytes(_LENGTH, "big") + hashlib.sha256(data).digest()[:_CHECK] + data)
        file.flush()
        os.fsync(descriptor)


def _records(path: Path) -> Iterator[crossing_pb2.CrossingRecord]:
    """The pages of a file, one in memory at a time; raises InvalidRequest for what is no such file, or cut off."""
    try:
        with path.open("rb") as file:
            _begin(path, file)
            while (data := _next(file)) is not None:
                yield _record(path, data)
            if file.read(1):
                raise InvalidRequest(f"{path}: damaged, or cut off")
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read: {error.strerror}") from error


def _begin(path: Path, file: BinaryIO) -> None:
    if file.read(len(MAGIC)) != MAGIC:
        raise InvalidRequest(f"{path}: no file that visard gallery export has written")


def _next(file: BinaryIO) -> bytes | None:
    """The next page's bytes; None, and the file where it was, at its end or where it is cut off or damaged."""
    at = file.tell()
    size = int.from_bytes(file.read(_LENGTH), "big")
    check = file.read(_CHECK)
    data = file.read(size) if size <= _LARGEST else b""
    if not size or len(data) < size or hashlib.sha256(data).digest()[:_CHECK] != check:
        file.seek(at)
        return None
    return data


def _record(path: Path, data: bytes) -> crossing_pb2.CrossingRecord:
    try:
        record = crossing_pb2.CrossingRecord.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"{path}: damaged") from error
    if len(record.parts) != PARTIES or any(len(part.pieces) != PARTIES for part in record.parts):
        raise InvalidRequest(f"{path}: damaged")
    return record


def _check_whole(path: Path) -> None:
    """Raises InvalidRequest unless the pages of a file are all of one export, in order, to the last."""
    after, number, last, series = "", 0, False, b""
    for number, record in enumerate(_records(path), 1):
        page = _page(record)
        series = series or page.series
        if last or page.after != after or page.series != series:
            raise InvalidRequest(f"{path}: page {number} does not follow the one before: export again")
        after = page.references[-1].reference_id if page.references else after
        last = page.last
    if not last:
        raise InvalidRequest(f"{path}: the last page is missing behind page {number}: export again")


def _resumed(
    part: Path, caller: Caller, to: str, terms: crossing_pb2.ExportTerms
) -> Iterator[crossing_pb2.CrossingPage]:
    """The pages of an export that was not finished; what was half written at its end is cut off."""
    keys = crossing.recipients_digest([key.public_key for key in terms.recipients])
    wanted, now_ms = (to, caller.gallery, caller.model, keys), time.time_ns() // 1_000_000
    try:
        with part.open("r+b") as file:
            if file.read(len(MAGIC)) == MAGIC:
                while (data := _next(file)) is not None:
                    page = _page(_record(part, data))
                    if (page.destination, page.gallery, page.model, page.recipients_digest) != wanted:
                        raise InvalidRequest(f"{part}: was begun for others, or other keys: remove it to begin anew")
                    if now_ms - page.sent_unix_ms > _RESUMED_MS:
                        raise InvalidRequest(f"{part}: was begun too long ago: remove it to begin anew")
                    yield page
                file.truncate()
            else:
                file.truncate(0)
    except OSError as error:
        raise InvalidRequest(f"{part}: cannot be read: {error.strerror}") from error
