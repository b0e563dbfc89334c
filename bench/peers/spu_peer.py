"""SecretFlow SPU: ABY3, three parties simulated as threads of one process, 64-bit ring. Weights and input are secret.

Runs in an environment with spu==0.9.5; reads the weights that the caller exported; prints one JSON object a row. The
simulation has no sockets, which favours it; the time is that of a compiled program, with the sharing of its inputs.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import spu
from jax import lax
from spu.utils import simulation

from bench.peers.steps import Step, Steps, follow, middle, runs

Arrays = Sequence[Any]
_STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))


def convolve(x: Any, kernel: Any, bias: Any, stride: int = 1, padding: int = 0) -> Any:
    """NCHW, OIHW."""
    y = lax.conv_general_dilated(x, kernel, (stride, stride), [(padding, padding)] * 2)
    return y + bias.reshape(1, -1, 1, 1)


def max_pool(x: Any, size: int, stride: int) -> Any:
    """Max-pooling without padding."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, size, size), (1, 1, stride, stride), "VALID")


def average_pool(x: Any) -> Any:
    """2x2 average."""
    return lax.reduce_window(x, 0.0, lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4


def relu(x: Any) -> Any:
    """Rectifier."""
    return jnp.maximum(x, 0)


def face(x: Any, weights: Arrays) -> Any:
    """W1: dlib's network; weights are kernel and bias of each convolution in order, then the last matrix."""
    layers = iter(zip(weights[0:-1:2], weights[1:-1:2], strict=True))
    y = relu(max_pool(convolve(x, *next(layers), stride=2), 3, 2))
    for width, count, halves in _STAGES:
        for k in range(count):
            down = halves and k == 0
            z = relu(convolve(y, *next(layers), stride=2 if down else 1, padding=0 if down else 1))
            z, short = convolve(z, *next(layers), padding=1), average_pool(y) if down else y
            size = max(z.shape[2], short.shape[2])
            z, short = (
                jnp.pad(a, ((0, 0), (0, width - a.shape[1]), (0, size - a.shape[2]), (0, size - a.shape[3])))
                for a in (z, short)
            )
            y = relu(z + short)
    return average_pool(y).reshape(1, -1) @ weights[-1].T


def thesis(x: Any, weights: Arrays) -> Any:
    """W2."""
    for k in range(4):
        x = convolve(x, weights[2 * k], weights[2 * k + 1])
        odd = x.shape[2] % 2
        x = relu(max_pool(jnp.pad(x, ((0, 0), (0, 0), (0, odd), (0, odd))), 2, 2))
    x = relu(x.reshape(1, -1) @ weights[8].T + weights[9])
    return x @ weights[10].T + weights[11]


def matching(x: Any, weights: Arrays) -> Any:
    """W3: an inner product with each of 100 thousand references, and a threshold."""
    return (x @ weights[0]) > 0.5


def rectify(x: Any, weights: Arrays) -> Any:
    """W4R."""
    return relu(x)


def convolve_step(step: Step, x: Any, kernel: Any, bias: Any) -> Any:
    """A convolution, or a depthwise one: a product of matrices a channel, a sixth of SPU's own grouped one in time."""
    if step.groups == 1:
        return convolve(x, kernel, bias, step.stride, step.padding)
    (height, width), (down, across), (ph, pw) = x.shape[2:], kernel.shape[2:], [step.padding] * 2
    x = jnp.pad(x[0], ((0, 0), (ph, ph), (pw, pw)))
    rows, columns = height + 2 * ph - down + 1, width + 2 * pw - across + 1
    taps = [x[:, i : i + rows : step.stride, k : k + columns : step.stride] for i in range(down) for k in range(across)]
    windows = jnp.stack(taps, axis=-1)
    of_channel = lax.dot_general(
        windows.reshape(step.groups, -1, down * across),
        kernel.reshape(step.groups, -1, 1),
        (((2,), (1,)), ((0,), (0,))),
    )
    return of_channel.reshape(1, *windows.shape[:3]) + bias.reshape(1, -1, 1, 1)


def prelu(step: Step, x: Any, slopes: Any) -> Any:
    """relu(x) - a relu(-x), with one comparison: relu(-x) is relu(x) - x."""
    positive = relu(x)
    return positive - slopes * (positive - x)


DOES: dict[str, Callable[..., Any]] = {
    "subtract": lambda step, x: x - step.number,
    "convolve": convolve_step,
    "prelu": prelu,
    "ones": lambda step, x: jnp.concatenate([x, jnp.ones((1, 1, *x.shape[2:]))], axis=1),
    "cat": lambda step, *parts: jnp.concatenate(parts, axis=1),
    "flatten": lambda step, x: x.reshape(1, -1),
    "multiply": lambda step, x, matrix, bias: x @ matrix + bias,
}


def inputs(name: str, folder: str) -> tuple[Any, Arrays]:
    """Input and weights of a row."""
    rng = np.random.default_rng(1)
    if name == "W3":
        return rng.normal(size=(1, 128)).astype("f4") / 11, [rng.normal(size=(128, 100_000)).astype("f4") / 11]
    if name == "W4R":
        return rng.normal(size=(1, 1, 250, 250)).astype("f4"), []
    arrays = np.load(f"{folder}/{name}.npz")
    weights = [arrays[f"arr_{k}"] for k in range(len(arrays.files))]
    return rng.random((1, 3, 150, 150) if name == "W1" else (1, 1, 100, 100)).astype("f4"), weights


ROWS: dict[str, Callable[[Any, Arrays], Any]] = {"W1": face, "W2": thesis, "W3": matching, "W4R": rectify}
STEPS = ("W5",)


class Timed(simulation.Simulator):  # type: ignore[misc]
    """A simulator that notes of each run of a compiled program the seconds of the clock and of the processor."""

    times: list[tuple[float, float]]

    def __call__(self, executable: Any, *arrays: Any) -> Any:
        """A run."""
        started = time.perf_counter(), time.process_time()
        found = super().__call__(executable, *arrays)
        self.times.append((time.perf_counter() - started[0], time.process_time() - started[1]))
        return found


def measure(name: str, folder: str) -> dict[str, float | None]:
    """Median seconds of a compiled run, of the clock and of the processor."""
    simulator = Timed.simple(3, spu.ProtocolKind.ABY3, spu.FieldType.FM64)
    simulator.times = []
    network = Steps.read(Path(folder), name) if name in STEPS else None
    weights: Arrays
    if network is not None:
        steps, x, weights = network.steps, network.image, network.arrays
        run = simulation.sim_jax(simulator, lambda image, arrays: follow(steps, DOES, image, arrays))
    else:
        x, weights = inputs(name, folder)
        run = simulation.sim_jax(simulator, ROWS[name])
    result = None
    for _ in range(runs(name)):
        result = run(x, weights)
    seconds, cpu = middle(simulator.times)
    found: dict[str, float | None] = {"seconds": seconds, "cpu_s": cpu, "sent_mb": None}
    return found | ({"cosine": network.cosine(result)} if network is not None else {})


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    for row in sys.argv[1].split(","):
        if row in ROWS or row in STEPS:
            print(json.dumps({"row": row} | measure(row, sys.argv[2])), flush=True)
