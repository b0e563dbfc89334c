"""What a model was published from, remembered in the home of its owner: so that other points for it need no compiling.

The services cannot tell whether weights are those that are published: they have shares of them. ``published.json`` says of each
model that was published from here when that was, and a hash of the network; it says nothing else of it, and never leaves here.
"""

import hashlib
import inspect
import json
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import torch
from visard_wire.digests import of_parts

from visard.owner.bring import Network
from visard.results import ModelInfo

_FILE = "published.json"


def of(network: Network, *, q: int, opens: bool) -> str:
    """A hash, in hex, of all that a compiler would be given but points: module, weights, shape, chip, mean, field, purpose."""
    module, others = network.module, {one.name for one in fields(network)} - {"module", "points", "rates"}
    parts = [repr((q, opens, [(name, getattr(network, name)) for name in sorted(others)])), repr(module)]
    parts += sorted({_source(type(part)) for part in module.modules()})
    tensors = [part for name, tensor in sorted(module.state_dict().items()) for part in _tensor(name, tensor)]
    return of_parts(b"visard origin v1", [*(part.encode() for part in parts), *tensors]).hex()


def _source(kind: type) -> str:
    """The text of a class that is not torch's own, where there is one."""
    if kind.__module__.startswith("torch."):
        return ""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return kind.__qualname__


def _tensor(name: str, tensor: object) -> tuple[bytes, ...]:
    if not isinstance(tensor, torch.Tensor) or tensor.is_meta:
        return name.encode(), repr(tensor).encode()
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    digest = hashlib.sha256(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"").digest()
    return name.encode(), repr((tensor.dtype, tuple(tensor.shape))).encode(), digest


def remember(home: Path, model: ModelInfo | None, origin: str) -> None:
    """Note what a model was published from; where nothing can be written there it is not known later."""
    if model is None:
        return
    told = _known(home) | {model.name: {"published_unix_ms": model.published_unix_ms, "origin": origin}}
    fresh = home / f"{_FILE}.new"
    with suppress(OSError):
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
        fresh.replace(home / _FILE)


def remembered(home: Path, model: ModelInfo) -> str:
    """What this very publication of a model was made from; empty where that is not known."""
    told = _known(home).get(model.name)
    if not isinstance(told, dict) or told.get("published_unix_ms") != model.published_unix_ms:
        return ""
    return str(told.get("origin", ""))


def _known(home: Path) -> dict[str, object]:
    try:
        found = json.loads((home / _FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
