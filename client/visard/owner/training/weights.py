"""Trained networks as files: safetensors, which hold numbers and text and can run nothing.

A file of a contrastive network holds the branch's state dictionary as it is; a head's keys have a prefix.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from visard.errors import InvalidRequest
from visard.owner.networks.pairs import side_by_side
from visard.owner.networks.thesis import INPUT_SHAPE, NETWORKS, PairHead
from visard.owner.training.loop import Trained

_HEAD = "head."


@dataclass(frozen=True)
class Loaded:
    """A network from a file: for inference on raw pixels; a pair is of one person where its score is at most the threshold."""

    name: str
    branch: nn.Sequential
    head: PairHead | None
    threshold: float

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Of what is published: one picture, or two behind each other for a network with a head."""
        channels, height, width = INPUT_SHAPE
        return channels if self.head is None else 2 * channels, height, width

    def module(self, *, decide: bool) -> nn.Module:
        """What is published: the branch; with a head both branches and it, for the score of a pair or the decision."""
        return self.branch if self.head is None else side_by_side(self.branch, self.head, decide=decide)


def save(trained: Trained, name: str, path: Path, notes: Mapping[str, object]) -> None:
    """Write branch and head; the notes (seed, split, accuracies) go into the file's metadata."""
    tensors = dict(trained.branch.state_dict())
    if trained.head:
        tensors |= {_HEAD + key: tensor for key, tensor in trained.head.state_dict().items()}
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
        in_head = {key: value for key, value in tensors.items() if key.startswith(_HEAD)}
        branch.load_state_dict({key: value for key, value in tensors.items() if key not in in_head})
        if head is not None:
            head.load_state_dict({key.removeprefix(_HEAD): value for key, value in in_head.items()})
            head.eval().requires_grad_(False)
        branch.eval().requires_grad_(False)
        return Loaded(metadata["network"], branch, head, float(metadata["threshold"]))
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InvalidRequest(f"{path}: not a network that visard train has written") from error
