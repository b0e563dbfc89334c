"""Trained networks as files: safetensors, which hold numbers and text and can run nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from visard.errors import InvalidRequest
from visard.models.thesis import NETWORKS, PairHead
from visard.training.loop import Trained

_BRANCH, _HEAD = "branch.", "head."


@dataclass(frozen=True)
class Loaded:
    """A network from a file: for inference on raw pixels; a pair is of one person where its score is at most the threshold."""

    name: str
    branch: nn.Sequential
    head: PairHead | None
    threshold: float


def save(trained: Trained, name: str, path: Path, notes: Mapping[str, object]) -> None:
    """Write branch and head; the notes (seed, split, accuracies) go into the file's metadata."""
    parts: list[tuple[str, nn.Module]] = [(_BRANCH, trained.branch)]
    parts += [(_HEAD, trained.head)] if trained.head else []
    tensors = {prefix + key: tensor for prefix, part in parts for key, tensor in part.state_dict().items()}
    metadata = {"network": name, "threshold": repr(trained.threshold), "notes": json.dumps(notes, sort_keys=True)}
    save_file(tensors, path, metadata)


def load(path: Path) -> Loaded:
    """Read what ``save`` has written; raises InvalidRequest."""
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 -- not a dictionary
        network = NETWORKS[metadata["network"]]
        branch, head = network.branch(False), PairHead() if network.loss == "entropy" else None
        for prefix, part in ((_BRANCH, branch), (_HEAD, head)):
            if part is not None:
                state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
                part.load_state_dict(state)
                part.eval().requires_grad_(False)
        return Loaded(metadata["network"], branch, head, float(metadata["threshold"]))
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InvalidRequest(f"{path}: not a network that visard train has written") from error
