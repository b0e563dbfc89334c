"""A gallery that goes to another deployment: its pages, from the parties of one to a file, and from it to those of the other.

A file holds what is sealed to the parties of the destination, and what is public of the references. A page is 4 bytes of length
(big-endian), 8 bytes of SHA-256, and the page; the first 16 bytes of a file say what it is.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
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
    """The sealing keys of this deployment's parties, which vouch for them, as JSON; raises UntrustedKey."""
    return json_format.MessageToJson(crossing_pb2.ExportTerms(recipients=await caller.offered_keys())).encode()


async def exported(caller: Caller, to: str, keys: bytes, file: Path, told: Told | None) -> ExportedGallery:
    """Write the client's gallery to a file, a page at a time; what an earlier call has left unfinished is gone on with."""
    terms, path = _terms(keys), _path(file)
    part = path.with_name(f"{path.name}.part")
    if path.exists():
        raise InvalidRequest(f"{path}: exists already")
    wanted = _named(to, caller, terms)
    with _held(part) as beside:
        pages = list(_resumed(part, beside, wanted))
        page = pages[-1] if pages else None
        terms.series = page.series if page else os.urandom(SERIES_BYTES)
        references, count = sum(len(page.references) for page in pages), len(pages)
        while page is None or not page.last:
            terms.after = _end(page)
            record = await _asked(caller, to, terms)
            before, page = page, _page(record)
            if not _follows(page, before, terms.series) or not (page.references or page.last):
                raise InconsistentAnswer("the parties gave another page than was asked for")
            if (page.destination, page.gallery, page.model, page.recipients_digest) != wanted:
                raise InconsistentAnswer("the parties gave a page of something else, or for others, than was asked for")
            _append(beside, record)
            references, count = references + len(page.references), count + 1
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


def _named(to: str, caller: Caller, terms: crossing_pb2.ExportTerms) -> tuple[str, str, str, bytes]:
    """What each page of an export says that it is: for whom, of what, and sealed to which keys."""
    keys = crossing.recipients_digest([key.public_key for key in terms.recipients])
    return to, caller.gallery, caller.model, keys


def _end(page: crossing_pb2.CrossingPage | None) -> str:
    """Behind which reference the next page begins."""
    if page is None:
        return ""
    return page.references[-1].reference_id if page.references else page.after


def _follows(page: crossing_pb2.CrossingPage, before: crossing_pb2.CrossingPage | None, series: bytes) -> bool:
    """Whether a page comes next in an export."""
    return (page.after, page.series) == (_end(before), series) and not (before is not None and before.last)


@contextmanager
def _held(part: Path) -> Iterator[BinaryIO]:
    """The file that an export grows in, for this user and this program alone; gone again where nothing was written.

    Raises InvalidRequest where another program holds it, or where it cannot be opened.
    """
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidRequest(f"{part}: cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(descriptor), part.stat())
            os.fchmod(descriptor, 0o600)
        except OSError:
            ours = False
        if not ours:
            raise InvalidRequest(f"{part}: another program writes it, or another user's file")
        try:
            yield file
        finally:
            if not os.fstat(descriptor).st_size:
                part.unlink(missing_ok=True)


def _append(file: BinaryIO, record: Message) -> None:
    """A page behind the others, on the disk before this returns."""
    data = record.SerializeToString()
    head = b"" if file.tell() else MAGIC
    file.write(head + len(data).to_bytes(_LENGTH, "big") + hashlib.sha256(data).digest()[:_CHECK] + data)
    file.flush()
    os.fsync(file.fileno())


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
    number, before = 0, None
    for number, record in enumerate(_records(path), 1):
        page = _page(record)
        if not _follows(page, before, before.series if before else page.series):
            raise InvalidRequest(f"{path}: page {number} does not follow the one before: export again")
        before = page
    if before is None or not before.last:
        raise InvalidRequest(f"{path}: the last page is missing behind page {number}: export again")


def _resumed(part: Path, file: BinaryIO, wanted: tuple[str, str, str, bytes]) -> Iterator[crossing_pb2.CrossingPage]:
    """The pages of an export that was not finished; what was half written at its end is cut off."""
    now_ms, before = time.time_ns() // 1_000_000, None
    if file.read(len(MAGIC)) == MAGIC:
        while (data := _next(file)) is not None:
            page = _page(_record(part, data))
            if (page.destination, page.gallery, page.model, page.recipients_digest) != wanted:
                raise InvalidRequest(f"{part}: was begun for others, or other keys: remove it to begin anew")
            if not _follows(page, before, before.series if before else page.series):
                raise InvalidRequest(f"{part}: its pages do not follow each other: remove it to begin anew")
            if now_ms - page.sent_unix_ms > _RESUMED_MS:
                raise InvalidRequest(f"{part}: was begun too long ago: remove it to begin anew")
            yield page
            before = page
    else:
        file.seek(0)
    file.truncate()
