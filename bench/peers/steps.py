"""A network as steps that a peer follows without torch: arrays in NAME.npz, what to do with them in NAME.json."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

RUNS = {"W5": 1, "W1": 2}  # of a peer, which takes half a minute of processor and ten seconds for these
_RUNS = 4


@dataclass(frozen=True)
class Step:
    """One layer: what it does, of which values (0 is the input, k what step k gives), with which of the arrays.

    ``do`` is subtract (a public ``number``), convolve (kernel, bias), prelu (slopes (C, 1, 1)), ones (a channel of ones more),
    cat (of channels), flatten, or multiply (matrix (I, O), bias).
    """

    do: str
    of: tuple[int, ...]
    arrays: tuple[int, ...] = ()
    stride: int = 1
    padding: int = 0
    groups: int = 1
    number: float = 0.0


@dataclass(frozen=True)
class Steps:
    """A network, an input of it, and what it makes of that in plaintext."""

    steps: tuple[Step, ...]
    arrays: tuple[Array, ...]
    image: Array
    expected: Array

    def write(self, folder: Path, name: str) -> None:
        """Two files."""
        (folder / f"{name}.json").write_text(json.dumps([asdict(step) for step in self.steps]))
        named = {f"array{k}": array for k, array in enumerate(self.arrays)}
        np.savez(folder / f"{name}.npz", allow_pickle=False, image=self.image, expected=self.expected, **named)

    @staticmethod
    def read(folder: Path, name: str) -> "Steps":
        """What ``write`` wrote."""
        written = [Step(**step) for step in json.loads((folder / f"{name}.json").read_text())]
        steps = tuple(replace(step, of=tuple(step.of), arrays=tuple(step.arrays)) for step in written)
        with np.load(folder / f"{name}.npz") as found:
            arrays = tuple(found[f"array{k}"] for k in range(len(found.files) - 2))
            return Steps(steps, arrays, found["image"], found["expected"])

    def cosine(self, found: Any) -> float:
        """Of what a peer found to what is expected."""
        one, other = (np.asarray(x, np.float64).ravel() for x in (found, self.expected))
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def follow(steps: Sequence[Step], does: Mapping[str, Callable[..., Any]], x: Any, arrays: Sequence[Any]) -> Any:
    """The last step's value; ``does``: functions of step, values and arrays. A value goes after its last use."""
    last = {value: k for k, step in enumerate(steps) for value in step.of}
    values = {0: x}
    for k, step in enumerate(steps):
        values[k + 1] = does[step.do](step, *(values[i] for i in step.of), *(arrays[i] for i in step.arrays))
        for value in [value for value in values if last.get(value, k + 1) <= k]:
            del values[value]
    return values[len(steps)]


def runs(row: str) -> int:
    """How often a peer computes a row; where it is more than once, the first run warms up."""
    return RUNS.get(row, _RUNS)


def middle(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The medians of seconds of the clock and of the processor, without the run that warms up."""
    clock, processor = zip(*(times[1:] or times), strict=True)
    return statistics.median(clock), statistics.median(processor)
