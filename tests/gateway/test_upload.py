"""The gateway passes on exactly what was announced: whatever else comes is refused, and the refusal names the field."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard_common.errors import InvalidArgument
from visard_common.limits import LEAST_CHUNK_BYTES, MAX_PROGRAM_BYTES, MAX_SHARE_BYTES
from visard_gateway.upload import Upload
from visard_wire.limits import CHUNK_BYTES
from visard_wire.v1 import common_pb2

from tests.gateway.harness import Operation, chunk, header, request

VERIFY = Operation.OPERATION_VERIFY
LEAST = bytes(LEAST_CHUNK_BYTES)


def begun(sizes: tuple[int, int, int] = (4, 4, 4)) -> Upload:
    return Upload.begin(header(request(), sizes), VERIFY)


def changed(change: Callable[[common_pb2.UploadHeader], object]) -> common_pb2.Upload:
    first = header(request())
    change(first.header)
    return first


HEADERS = {
    "header": chunk(0, 0, b"abcd"),
    "request.operation": header(request(Operation.OPERATION_ENROL)),
    "request.request_id": changed(lambda h: setattr(h.request, "request_id", bytes(15))),
    "header.shares": changed(lambda h: h.shares.pop()),
    "header.shares.size": changed(lambda h: setattr(h.shares[2], "size", 0)),
    "header.program": changed(lambda h: setattr(h, "program", bytes(MAX_PROGRAM_BYTES + 1))),
}


@pytest.mark.parametrize("field", HEADERS)
def header__should_be_refused_by_field(field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Upload.begin(HEADERS[field], VERIFY)
    assert caught.value.field == field


def header__should_be_refused_when_a_share_is_too_large() -> None:
    assert Upload.begin(header(request(), (4, MAX_SHARE_BYTES, 4)), VERIFY).sizes[1] == MAX_SHARE_BYTES
    with pytest.raises(InvalidArgument) as caught:
        Upload.begin(header(request(), (4, MAX_SHARE_BYTES + 1, 4)), VERIFY)
    assert caught.value.field == "header.shares.size"


def header__should_be_refused_when_parties_are_doubled_or_swapped() -> None:
    for parties in ((0, 1, 1), (1, 0, 2), (0, 1, 3)):
        first = header(request())
        for share, party in zip(first.header.shares, parties, strict=True):
            share.party = party
        with pytest.raises(InvalidArgument):
            Upload.begin(first, VERIFY)


def stream__should_be_refused_when_it_is_empty() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Upload.begin(None, VERIFY)
    assert caught.value.field == "header"


def header__should_tell_each_party_of_its_own_share_only() -> None:
    first = changed(lambda h: setattr(h, "program", b"{}"))
    upload = Upload.begin(first, VERIFY)
    for party in range(3):
        told = upload.header_for(party).header
        assert list(told.shares) == [first.header.shares[party]]
        assert told.request == first.header.request
        assert told.program == b"{}"


CHUNKS = {
    "unknown party": ("chunk.party", chunk(3, 0, b"a")),
    "skipped index": ("chunk.index", chunk(0, 1, b"a")),
    "no data": ("chunk.data", chunk(0, 0, b"")),
    "too much in one": ("chunk.data", chunk(0, 0, bytes(CHUNK_BYTES + 1))),
    "too little in one": ("chunk.data", chunk(0, 0, LEAST[1:])),
    "one byte": ("chunk.data", chunk(0, 0, b"a")),
    "more than announced": ("chunk.data", chunk(0, 0, b"abcde", last=True)),
    "more than announced, and no end": ("chunk.data", chunk(0, 0, LEAST)),
    "less than announced": ("chunk.data", chunk(0, 0, b"abc", last=True)),
    "a second header": ("header", header(request())),
    "nothing at all": ("header", common_pb2.Upload()),
}


@pytest.mark.parametrize("case", CHUNKS)
def chunk__should_be_refused_by_field(case: str) -> None:
    field, message = CHUNKS[case]
    with pytest.raises(InvalidArgument) as caught:
        begun().accept(message)
    assert caught.value.field == field


def chunk__should_be_refused_after_the_last() -> None:
    upload = begun()
    assert upload.accept(chunk(1, 0, b"abcd", last=True)) == 1
    with pytest.raises(InvalidArgument) as caught:
        upload.accept(chunk(1, 1, b"e"))
    assert caught.value.field == "chunk"


def chunk__should_be_refused_when_it_comes_twice() -> None:
    upload = begun((3 * LEAST_CHUNK_BYTES,) * 3)
    upload.accept(chunk(0, 0, LEAST))
    with pytest.raises(InvalidArgument):
        upload.accept(chunk(0, 0, LEAST))


@pytest.mark.parametrize("missing", range(3))
def end__should_be_refused_while_a_share_is_incomplete(missing: int) -> None:
    upload = begun((LEAST_CHUNK_BYTES + 2,) * 3)
    for party in range(3):
        whole = chunk(party, 0, LEAST + b"cd", last=True)
        upload.accept(whole if party != missing else chunk(party, 0, LEAST))
    with pytest.raises(InvalidArgument) as caught:
        upload.finish()
    assert caught.value.field == "chunk.last"
    upload.accept(chunk(missing, 1, b"cd", last=True))
    upload.finish()


@given(st.data())
def chunks__should_be_taken_in_any_interleaving_of_the_parties(data: st.DataObject) -> None:
    counts = [data.draw(st.integers(1, 5)) for _ in range(3)]
    order = data.draw(st.permutations([party for party in range(3) for _ in range(counts[party])]))
    size = LEAST_CHUNK_BYTES
    upload = begun((counts[0] * size, counts[1] * size, counts[2] * size))
    sent = [0, 0, 0]
    for party in order:
        last = sent[party] == counts[party] - 1
        assert upload.accept(chunk(party, sent[party], LEAST, last=last)) == party
        sent[party] += 1
    upload.finish()
