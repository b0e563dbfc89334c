"""A party that lies as it is told: ``python -m tests.attacks.campaign.turncoat --config FILE``.

What it is told is in the file ``order`` in its data directory. Nothing in the services knows about it: what a session sends is
changed on its way, and what is reported of a pending write.
"""

import json
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from visard.cluster import Cluster
from visard_engine.channel import Payload
from visard_party import __main__ as program
from visard_party.consistency.recovery import Recovery
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import State

ORDER, SENT = "order", "sent"
ENGINE = "engine: "
REPEATED, MISLABELLED = "repeated", "mislabelled"
HOWS = ("edited", "flipped", "dropped", REPEATED, MISLABELLED, "shortened", "lengthened", "emptied", "noise")


@dataclass(frozen=True)
class Order:
    """From now on: what the ``nth`` message says (from 0; negative: none) is told otherwise to ``peers``.

    ``reports``: the state that is told of any write whose state a peer asks for. ``record``: write down what is sent.
    """

    number: int
    nth: int = -1
    peers: tuple[int, ...] = ()
    how: str = "flipped"
    reports: str = ""
    record: bool = False


class TurncoatCluster(Cluster):
    """Services whose parties can be told to lie."""

    def module(self, name: str) -> str:
        return __name__ if name.startswith("party") else super().module(name)

    def order(self, party: int, order: Order) -> None:
        """From now on, until the next order."""
        file = self.home / f"party{party}" / ORDER
        file.with_suffix(".new").write_text(json.dumps(asdict(order)))
        file.with_suffix(".new").rename(file)

    def sent(self, party: int) -> list[tuple[str, list[int]]]:
        """What was sent since a party was told to write it down: kind and receivers."""
        file = self.home / f"party{party}" / SENT
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [(kind, peers) for kind, peers in map(json.loads, lines)]


@dataclass
class _Turncoat:
    home: Path
    order: Order = Order(0)
    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def current(self) -> Order:
        """The order as it stands now."""
        file = self.home / ORDER
        if file.exists():
            raw = json.loads(file.read_text())
            order = Order(**(raw | {"peers": tuple(raw["peers"])}))
            if order != self.order:
                self.order, self.count, self.kinds = order, 0, Counter()
        return self.order

    def says(self, channel: SessionChannel, outgoing: Mapping[int, Payload], kind: str) -> Mapping[int, Payload]:
        """What is sent instead."""
        order, nth = self.current(), self.count
        self.count += 1
        self.kinds[kind] += 1
        if order.record:
            name = kind if kind.startswith(ENGINE) else f"{kind} {self.kinds[kind]}"
            with (self.home / SENT).open("a") as file:
                print(json.dumps([name, list(outgoing)]), file=file)
        if nth != order.nth:
            return outgoing
        rng = np.random.default_rng([order.number, nth])
        said = dict(outgoing)
        for peer in set(order.peers) & set(outgoing):
            payload = bytes(outgoing[peer])
            if order.how in (REPEATED, MISLABELLED):
                counter = channel._runtime._program_counter[0] + 1 + (order.how == MISLABELLED)
                channel._ports[peer].send(counter, payload)
            elif order.how == "dropped":
                del said[peer]
            else:
                said[peer] = _CHANGES[order.how](payload, rng)
        return said


def _edited(payload: bytes, rng: np.random.Generator) -> bytes:
    """JSON of which one value is another; of anything else a bit."""
    try:
        message = json.loads(payload)
    except ValueError:
        return _flipped(payload, rng)
    places: list[tuple[Any, Any]] = []
    _walk(message, places)
    if not places:
        return json.dumps([message, 1]).encode()
    inside, key = places[int(rng.integers(len(places)))]
    inside[key] = _another(inside[key], rng)
    return json.dumps(message).encode()


def _walk(value: Any, places: list[tuple[Any, Any]]) -> None:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        places.append((value, key))
        _walk(value[key], places)


def _another(value: Any, rng: np.random.Generator) -> Any:
    choices: list[Any] = [None, -1, "", [], {}, True]
    match value:
        case bool():
            choices = [not value]
        case int():
            choices += [value + 1, value - 1, 1 << 70]
        case str() if value:
            place = int(rng.integers(len(value)))
            choices += [value[:place] + ("0" if value[place] != "0" else "1") + value[place + 1 :]] * 6
        case list():
            choices += [value[1:], value * 2]
    return choices[int(rng.integers(len(choices)))]


def _flipped(payload: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(payload or b"\0")
    out[int(rng.integers(len(out)))] ^= 1 << int(rng.integers(8))
    return bytes(out)


_CHANGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "edited": _edited,
    "flipped": _flipped,
    "shortened": lambda payload, _: payload[:-1],
    "lengthened": lambda payload, _: payload + b"\0",
    "emptied": lambda payload, _: b"",
    "noise": lambda payload, rng: rng.bytes(len(payload)),
}


def _kind() -> str:
    """Who sends: a kind of opening of the engine, or a function of the services."""
    frame = sys._getframe(2)
    module = str(frame.f_globals["__name__"])
    if module.startswith("visard_engine"):
        return ENGINE + str(frame.f_locals.get("kind", "agreement"))
    return f"{module.rpartition('.')[2]}.{frame.f_code.co_name}"


def _main() -> None:
    turncoat = _Turncoat(Path(tomllib.loads(Path(sys.argv[2]).read_text())["data_dir"]))
    original, shown = SessionChannel.exchange, Recovery.shown

    async def exchange(
        channel: SessionChannel,
        outgoing: Mapping[int, Payload],
        incoming: Collection[int],
        seconds: float | None = None,
    ) -> dict[int, bytes]:
        said = turncoat.says(channel, outgoing, _kind()) if outgoing else outgoing
        return await original(channel, said, incoming, seconds)

    def told(recovery: Recovery, stored: Mapping[bytes, State]) -> dict[bytes, State]:
        reports = turncoat.current().reports
        return dict.fromkeys(stored, State[reports]) if reports else shown(recovery, stored)

    setattr(SessionChannel, "exchange", exchange)  # noqa: B010 -- it takes the same
    setattr(Recovery, "shown", told)  # noqa: B010
    program.main()


if __name__ == "__main__":
    _main()
