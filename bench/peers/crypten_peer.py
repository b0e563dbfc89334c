"""CrypTen: additive sharing, two parties, a trusted provider of triples. Weights and input are secret.

Runs in an environment with crypten==0.4.1 and torch; prints one JSON object a row.
"""

import json
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

# crypten 0.4.1 imports the register of ONNX operators, which torch has moved; nothing here uses ONNX
_registry = types.ModuleType("torch.onnx._internal.registration")
_registry.registry = types.SimpleNamespace()  # type: ignore[attr-defined]
sys.modules.setdefault("torch.onnx._internal.registration", _registry)

import crypten  # noqa: E402
import crypten.communicator as comm  # noqa: E402
from crypten import mpc  # noqa: E402
from visard.owner.networks import face_resnet  # noqa: E402

from bench.peers.steps import Step, Steps, follow, middle, runs  # noqa: E402
from bench.thesis import thesis_network  # noqa: E402

Secret = Any


def secret(x: torch.Tensor) -> Secret:
    """A shared tensor."""
    return crypten.cryptensor(x)


def convolve(layer: nn.Conv2d) -> Callable[[Secret], Secret]:
    """A convolution with secret weights."""
    kernel = secret(layer.weight.detach())
    bias = secret(layer.bias.detach().reshape(1, -1, 1, 1)) if layer.bias is not None else None

    def run(x: Secret) -> Secret:
        y = x.conv2d(kernel, stride=layer.stride, padding=layer.padding)
        return y + bias if bias is not None else y

    return run


def affine(layer: nn.Linear) -> Callable[[Secret], Secret]:
    """A matrix with secret weights."""
    matrix = secret(layer.weight.detach().t().contiguous())
    bias = secret(layer.bias.detach()) if layer.bias is not None else None
    return lambda x: x.matmul(matrix) + bias if bias is not None else x.matmul(matrix)


def layer_of(layer: nn.Module) -> Callable[[Secret], Secret]:
    """Any layer of the thesis' network."""
    if isinstance(layer, nn.Conv2d):
        return convolve(layer)
    if isinstance(layer, nn.Linear):
        return affine(layer)
    if isinstance(layer, nn.ReLU):
        return lambda x: x.relu()
    if isinstance(layer, nn.MaxPool2d):
        return lambda x: x.max_pool2d(2)
    if isinstance(layer, nn.Flatten):
        return lambda x: x.flatten(start_dim=1)
    return lambda x: x.pad((0, 1, 0, 1))


def block_of(block: face_resnet.Block) -> Callable[[Secret], Secret]:
    """A residual block of the face network."""
    first, second = convolve(block.first), convolve(block.second)

    def run(x: Secret) -> Secret:
        y = second(first(x).relu())
        y = y.pad(block.pad_main) if any(block.pad_main) else y
        short = x.avg_pool2d(2) if block.pool is not None else x
        short = short.pad(block.pad_short) if any(block.pad_short) else short
        return (y + short).relu()

    return run


def face() -> tuple[Callable[[Secret], Secret], torch.Tensor]:
    """W1: pixels are scaled to 1 here, because products of 255 and weights of 1/256 lose bits in 16-bit fractions."""
    network = face_resnet.load()
    network.entry.weight.mul_(256)
    entry, blocks, last = (
        convolve(network.entry),
        [block_of(cast(face_resnet.Block, b)) for b in network.blocks],
        affine(network.descriptor),
    )

    def run(x: Secret) -> Secret:
        y = entry(x).max_pool2d(3, stride=2).relu()
        for block in blocks:
            y = block(y)
        return last(y.avg_pool2d(2).flatten(start_dim=1))

    return run, torch.rand(1, 3, 150, 150)


def thesis() -> tuple[Callable[[Secret], Secret], torch.Tensor]:
    """W2."""
    layers = [layer_of(layer) for layer in thesis_network()]

    def run(x: Secret) -> Secret:
        for layer in layers:
            x = layer(x)
        return x

    return run, torch.rand(1, 1, 100, 100) * 8


def matching() -> tuple[Callable[[Secret], Secret], torch.Tensor]:
    """W3: an inner product with each of 100 thousand references, and a threshold."""
    gallery = secret(torch.randn(128, 100_000) / 11)
    return lambda x: x.matmul(gallery) > 0.5, torch.randn(1, 128) / 11


def relu() -> tuple[Callable[[Secret], Secret], torch.Tensor]:
    """W4R."""
    return lambda x: x.relu(), torch.randn(1, 1, 250, 250)


def prelu(step: Step, x: Secret, slopes: Secret) -> Secret:
    """relu(x) - a relu(-x), with one comparison: relu(-x) is relu(x) - x."""
    positive = x.relu()
    return positive - slopes * (positive - x)


DOES: dict[str, Callable[..., Secret]] = {
    "subtract": lambda step, x: x - step.number,
    "convolve": lambda step, x, kernel, bias: (
        x.conv2d(kernel, stride=step.stride, padding=step.padding, groups=step.groups) + bias.reshape(1, -1, 1, 1)
    ),
    "prelu": prelu,
    "ones": lambda step, x: crypten.cat([x, secret(torch.ones(1, 1, *x.shape[2:]))], dim=1),
    "cat": lambda step, *parts: crypten.cat(list(parts), dim=1),
    "flatten": lambda step, x: x.flatten(start_dim=1),
    "multiply": lambda step, x, matrix, bias: x.matmul(matrix) + bias,
}


def exported(network: Steps) -> tuple[Callable[[Secret], Secret], torch.Tensor]:
    """W5, as it was written down."""
    arrays = [secret(torch.from_numpy(array)) for array in network.arrays]
    return lambda x: follow(network.steps, DOES, x, arrays), torch.from_numpy(network.image)


ROWS = {"W1": face, "W2": thesis, "W3": matching, "W4R": relu}
STEPS = ("W5",)


@mpc.run_multiprocess(world_size=2)  # type: ignore[untyped-decorator]
def measure(name: str, folder: str) -> dict[str, float]:
    """Median seconds of the online part, of the clock and of this party's processor, and megabytes that it sent."""
    crypten.cfg.mpc.provider = "TFP"
    crypten.cfg.communicator.verbose = True  # count bytes
    torch.set_num_threads(1)
    network = Steps.read(Path(folder), name) if name in STEPS else None
    run, x = exported(network) if network is not None else ROWS[name]()
    shared = secret(x)
    times, sent, result = [], 0.0, None
    for _ in range(runs(name)):
        comm.get().reset_communication_stats()
        started = time.perf_counter(), time.process_time()
        result = run(shared)
        times.append((time.perf_counter() - started[0], time.process_time() - started[1]))
        sent = comm.get().get_communication_stats()["bytes"] / 1e6
    seconds, cpu = middle(times)
    found = {"seconds": seconds, "cpu_s": cpu, "sent_mb": sent}
    return found | (
        {"cosine": network.cosine(result.get_plain_text())} if network is not None and result is not None else {}
    )


def joined(parties: list[dict[str, float]]) -> dict[str, float]:
    """Of all parties: the slowest, the processor of all, the largest."""
    cpu = sum(party["cpu_s"] for party in parties)
    return (
        parties[0] | {name: max(party[name] for party in parties) for name in ("seconds", "sent_mb")} | {"cpu_s": cpu}
    )


if __name__ == "__main__":
    crypten.init()
    for row in sys.argv[1].split(","):
        if row in ROWS or row in STEPS:
            results = measure(row, sys.argv[2])
            if results is None:
                sys.exit(f"crypten failed at {row}")
            print(json.dumps({"row": row} | joined(results)), flush=True)
