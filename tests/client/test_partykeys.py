"""A client believes a sealing key that its party signed, for its time, and none older than one that it has seen."""

import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest
from visard import certs, seen
from visard.errors import InvalidRequest, Unavailable, UntrustedKey
from visard.seen import SeenSerials
from visard.trust import TrustedKeys, trusted
from visard_wire.partykeys import CLOCK_SKEW_MS, statement, verify_party_key
from visard_wire.v1 import common_pb2
from visard_wire.vouching import MAX_CHAIN, Trust

from tests import sealed

NOW = sealed.now_ms()
PUBLIC = bytes(range(32))
PartyKey = common_pb2.PartyKey


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    for name in ("ours", "theirs"):
        certs.init(folder / name)
    return folder


def verify(pki: Path, party: int, key: PartyKey, now: int = NOW) -> None:
    verify_party_key(Trust.one((pki / "ours" / "ca.pem").read_bytes()), party, key, now)


def signed(pki: Path, party: int = 1, deployment: str = "ours", **fields: object) -> PartyKey:
    """A statement that is valid at NOW, however long ago that is."""
    times: dict[str, object] = {"serial": NOW, "not_before_unix_ms": NOW, "not_after_unix_ms": NOW + 3_600_000}
    return sealed.statement(pki / deployment, party, PUBLIC, **(times | fields))  # type: ignore[arg-type]


def signed_bytes__should_be_as_written() -> None:
    key = PartyKey(party=2, public_key=PUBLIC, serial=1, not_before_unix_ms=2, not_after_unix_ms=258)
    numbers = bytes.fromhex("000000000000000100000000000000020000000000000102")
    assert statement(key) == b"visard party key v2\x02" + numbers + PUBLIC


@pytest.mark.parametrize("party", range(3))
def statement__should_be_believed_of_its_party_alone(pki: Path, party: int) -> None:
    key = signed(pki, party)
    verify(pki, party, key)
    with pytest.raises(UntrustedKey, match=f"party {(party + 1) % 3} is said to be that of another"):
        verify(pki, (party + 1) % 3, key)
    key.party = (party + 1) % 3
    with pytest.raises(UntrustedKey, match="signature under exactly this statement"):
        verify(pki, key.party, key)


def statement__should_count_from_its_beginning_to_its_end(pki: Path) -> None:
    key = signed(pki, not_before_unix_ms=NOW, not_after_unix_ms=NOW + 1000)
    for now in (NOW - CLOCK_SKEW_MS, NOW, NOW + 999):
        verify(pki, 1, key, now)
    with pytest.raises(UntrustedKey, match="party 1 is not valid yet"):
        verify(pki, 1, key, NOW - CLOCK_SKEW_MS - 1)
    with pytest.raises(UntrustedKey, match="party 1 has expired"):
        verify(pki, 1, key, NOW + 1000)


@pytest.mark.parametrize("signer", ["party0", "party2", "gateway", "dealer", "client", "owner", "admin"])
def statement_of_another_holder__should_be_refused(pki: Path, signer: str) -> None:
    with pytest.raises(UntrustedKey, match="party 1 is signed by another holder"):
        verify(pki, 1, signed(pki, signer=signer))


def raise_serial(key: PartyKey) -> None:
    key.serial += 1


def lengthen(key: PartyKey) -> None:
    key.not_after_unix_ms += 1


def begin_earlier(key: PartyKey) -> None:
    key.not_before_unix_ms -= 1


def exchange(key: PartyKey) -> None:
    key.public_key = bytes(32)


def shorten(key: PartyKey) -> None:
    key.public_key = key.public_key[:31]


def strip(key: PartyKey) -> None:
    key.ClearField("signature")


def unchain(key: PartyKey) -> None:
    key.ClearField("chain")


def overchain(key: PartyKey) -> None:
    key.chain.extend([key.chain[0]] * MAX_CHAIN)


def garble(key: PartyKey) -> None:
    key.chain[0] = b"no certificate"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        *((change, "exactly this statement") for change in (raise_serial, lengthen, begin_earlier, exchange, strip)),
        (shorten, "has not 32 bytes"),
        (unchain, "a chain of 1 to"),
        (overchain, "a chain of 1 to"),
        (garble, "this deployment's authority"),
    ],
)
def spoilt_statement__should_be_refused(pki: Path, spoil: Callable[[PartyKey], None], reason: str) -> None:
    key = signed(pki)
    spoil(key)
    with pytest.raises(UntrustedKey, match=reason):
        verify(pki, 1, key)


def statement_under_another_authority__should_be_refused_unless_it_is_in_the_bundle(pki: Path) -> None:
    key = signed(pki, deployment="theirs")
    with pytest.raises(UntrustedKey, match="this deployment's authority"):
        verify(pki, 1, key)
    bundle = b"".join((pki / name / "ca.pem").read_bytes() for name in ("ours", "theirs"))
    for name in ("ours", "theirs"):
        verify_party_key(Trust.one(bundle), 1, signed(pki, deployment=name), NOW)


def three_keys__should_be_trusted_until_the_first_is_over(pki: Path) -> None:
    ca = Trust.one((pki / "ours" / "ca.pem").read_bytes())
    ends = [NOW + 3000, NOW + 2000, NOW + 9000]
    keys = [signed(pki, i, not_after_unix_ms=end) for i, end in enumerate(ends)]
    assert trusted(ca, keys, SeenSerials(), NOW) == TrustedKeys([PUBLIC] * 3, NOW + 2000)
    for wrong in (keys[:2], [*keys, keys[2]], [keys[1], keys[0], keys[2]]):
        with pytest.raises(UntrustedKey, match=r"three parties|party 0"):
            trusted(ca, wrong, SeenSerials(), NOW)


def older_serial__should_be_refused_and_nothing_remembered_of_its_company(pki: Path) -> None:
    ca, held = Trust.one((pki / "ours" / "ca.pem").read_bytes()), SeenSerials()

    def offer(*serials: int) -> TrustedKeys:
        return trusted(ca, [signed(pki, i, serial=s) for i, s in enumerate(serials)], held, NOW)

    offer(5, 5, 5)
    offer(5, 6, 5)
    with pytest.raises(UntrustedKey, match="party 1 is older than one that was seen before"):
        offer(9, 5, 9)
    offer(5, 6, 5)


def untrusted_statement__should_raise_no_serial(pki: Path) -> None:
    ca, held = Trust.one((pki / "ours" / "ca.pem").read_bytes()), SeenSerials()
    keys = [signed(pki, i, serial=7) for i in range(3)]
    lies = [signed(pki, i, serial=1 << 60, signer="gateway") for i in range(3)]
    for wrong in ([lies[0], *keys[1:]], [*keys[:2], lies[2]]):
        with pytest.raises(UntrustedKey):
            trusted(ca, wrong, held, NOW)
    trusted(ca, keys, held, NOW)


def serials__should_be_remembered_from_one_program_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "sealing-serials.json"
    SeenSerials(path).admit({0: 5, 1: 6, 2: 7})
    first = path.stat().st_ino
    SeenSerials(path).admit({0: 5, 1: 6, 2: 7})
    assert path.stat().st_ino == first, "nothing new, nothing written"
    with pytest.raises(UntrustedKey, match="party 2"):
        SeenSerials(path).admit({0: 9, 1: 9, 2: 6})
    SeenSerials(path).admit({0: 5, 1: 6, 2: 8})
    with pytest.raises(UntrustedKey, match="party 2"):
        SeenSerials(path).admit({0: 5, 1: 6, 2: 7})


def file_that_was_removed__should_not_make_a_running_client_forget(tmp_path: Path) -> None:
    held = SeenSerials(tmp_path / "serials")
    held.admit({0: 5})
    (tmp_path / "serials").unlink()
    with pytest.raises(UntrustedKey):
        held.admit({0: 4})


def count_up(path: Path, first: int) -> None:
    """One of several programs that see ever newer keys; run in a process of its own."""
    for serial in range(first, first + 200, 4):
        with suppress(UntrustedKey):  # another is ahead
            SeenSerials(path).admit({0: serial, first: serial})


def programs_at_a_time__should_neither_spoil_the_file_nor_lower_a_serial(tmp_path: Path) -> None:
    path = tmp_path / "serials"
    spawn = get_context("spawn")
    programs = [spawn.Process(target=count_up, args=(path, first)) for first in (1, 2, 3, 4)]
    for program in programs:
        program.start()
    highest = 0
    while any(program.is_alive() for program in programs):
        now = seen._read(path).get(0, 0)  # raises for a file that is not whole
        assert now >= highest
        highest = now
    for program in programs:
        program.join()
        assert program.exitcode == 0
    assert seen._read(path)[0] == max(seen._read(path).values()) >= 197


def threads_of_one_client__should_not_lower_a_serial() -> None:
    held = SeenSerials()

    def admit(serial: int) -> None:
        with suppress(UntrustedKey):
            held.admit({0: serial})

    threads = [threading.Thread(target=admit, args=(serial,)) for serial in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(UntrustedKey):
        held.admit({0: 198})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"x": 1}', b'{"0": "y"}', b'{"0": null}'])
def damaged_file__should_be_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "serials").write_bytes(content)
    with pytest.raises(InvalidRequest, match="serials is damaged: remove it"):
        SeenSerials(tmp_path / "serials").admit({0: 1})


def file_that_cannot_be_kept__should_be_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be kept there"):
        SeenSerials(tmp_path / "missing" / "serials").admit({0: 1})


def lock_that_is_held_for_long__should_end_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "LOCK_SECONDS", 0.05)
    with seen._locked(tmp_path / "serials"), pytest.raises(Unavailable, match="held by another program"):
        SeenSerials(tmp_path / "serials").admit({0: 1})
