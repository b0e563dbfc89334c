"""MPyC's own secure arrays: Shamir sharing in a prime field, three processes over TCP. Weights and input are secret.

``python -m bench.peers.mpyc_peer ROWS`` starts the three parties and prints one JSON object a row; a row of W4 may name
the side of its picture, as W4R:50.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from bench.thesis import thesis_network

Secret = Any
Work = Callable[[Secret], Secret]
Figures = dict[str, float]
INTEGRAL, FRACTIONAL = 32, 16
_BASE_PORT = 18600


def matrix_of(layer: nn.Conv2d | nn.Linear) -> Any:
    """Weights as a matrix (O, C kh kw), float64."""
    return layer.weight.detach().double().flatten(1).numpy()


def windows(height: int, width: int, channels: int, kernel: int) -> Any:
    """Indices (C k k, H' W') of the flat picture that a convolution reads."""
    index = np.arange(channels * height * width).reshape(channels, height, width)
    view = np.lib.stride_tricks.sliding_window_view(index, (kernel, kernel), axis=(1, 2))
    return view.transpose(0, 3, 4, 1, 2).reshape(channels * kernel * kernel, -1)


def rectify(mpc: Any, x: Secret) -> Secret:
    """Elementwise max(x, 0)."""
    return mpc.np_multiply(x >= 0, x)


def maximum(mpc: Any, a: Secret, b: Secret) -> Secret:
    """Elementwise maximum."""
    return b + rectify(mpc, a - b)


def pool(mpc: Any, x: Secret) -> Secret:
    """2x2 max-pooling of (C, H, W), even sizes."""
    rows = maximum(mpc, x[:, 0::2, :], x[:, 1::2, :])
    return maximum(mpc, rows[:, :, 0::2], rows[:, :, 1::2])


def relu_row(mpc: Any, share: Callable[[Any], Secret], side: int = 250) -> tuple[Work, Secret]:
    """W4R."""
    return lambda x: rectify(mpc, x), share(np.random.default_rng(1).normal(size=side * side))


def pool_row(mpc: Any, share: Callable[[Any], Secret], side: int = 250) -> tuple[Work, Secret]:
    """W4P: 2x2."""
    return lambda x: pool(mpc, x), share(np.random.default_rng(1).normal(size=(1, side, side)))


def convolution_row(mpc: Any, share: Callable[[Any], Secret], side: int = 100) -> tuple[Work, Secret]:
    """W4C: one secret 3x3 kernel."""
    kernel, index = share(np.random.default_rng(2).normal(size=(1, 9))), windows(side, side, 1, 3)
    return lambda x: kernel @ x.flatten()[index], share(np.random.default_rng(1).normal(size=(1, side, side)))


def thesis_row(mpc: Any, share: Callable[[Any], Secret]) -> tuple[Work, Secret]:
    """W2: pooled before the ReLU, as ours."""
    network = thesis_network()
    layers = [m for m in network if isinstance(m, nn.Conv2d | nn.Linear)]
    weights = [(share(matrix_of(m)), share(cast(Tensor, m.bias).detach().double().numpy()[:, None])) for m in layers]

    def run(x: Secret) -> Secret:
        for layer, (matrix, bias) in zip(layers, weights, strict=True):
            if isinstance(layer, nn.Linear):
                x = matrix @ x.reshape(-1, 1) + bias
                x = rectify(mpc, x) if layer is not layers[-1] else x
                continue
            channels, height, width = x.shape
            k = layer.kernel_size[0]
            y = matrix @ x.flatten()[windows(height, width, channels, k)] + bias
            y = y.reshape(layer.out_channels, height - k + 1, width - k + 1)
            # an odd last row and column is doubled, which before a ReLU means the same as our zeros
            rows, columns = (np.minimum(np.arange(-(-n // 2) * 2), n - 1) for n in y.shape[1:])
            y = y[:, rows, :][:, :, columns]
            x = rectify(mpc, pool(mpc, y))
        return x

    return run, share(np.random.default_rng(1).random((1, 100, 100)) * 8)


ROWS: dict[str, Callable[..., tuple[Work, Secret]]] = {
    "W2": thesis_row,
    "W4R": relu_row,
    "W4P": pool_row,
    "W4C": convolution_row,
}


async def measure(mpc: Any, name: str) -> Figures:
    """Seconds of the online part, of the clock and of this party's processor, and megabytes this party sent."""
    number = mpc.SecFxp(INTEGRAL + FRACTIONAL, FRACTIONAL)

    def share(values: Any) -> Secret:
        # integral=False at every party: a receiver that takes its dummy for integers would skip truncations, and hang
        return mpc.input(number.array(values, integral=False), senders=0)

    row, _, side = name.partition(":")
    work, x = ROWS[row](mpc, share, *([int(side)] if side else []))
    await mpc.gather(x)
    await mpc.barrier()
    before, started, cpu = sent(mpc), time.perf_counter(), time.process_time()
    await mpc.gather(work(x))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {"seconds": seconds, "cpu_s": cpu, "sent_mb": (sent(mpc) - before) / 1e6}


def sent(mpc: Any) -> int:
    """Bytes sent so far."""
    return sum(party.protocol.nbytes_sent for party in mpc.parties if party.pid != mpc.pid)


def party(names: list[str]) -> None:
    """One of the three processes; MPyC reads its number from the command line."""
    from mpyc.runtime import mpc  # noqa: PLC0415 -- parses the command line when imported

    mpc.run(mpc.start())
    for name in names:
        print(json.dumps(mpc.run(measure(mpc, name))), flush=True)
    mpc.run(mpc.shutdown())


def main(names: str) -> None:
    """Start three parties; print of each row the slowest and what one sent at most, and the processor of all."""
    flags = ["-M3", f"-B{_BASE_PORT}", "--no-log"]
    command = [sys.executable, "-m", "bench.peers.mpyc_peer", names, *flags]
    started = [subprocess.Popen([*command, f"-I{i}"], stdout=subprocess.PIPE, text=True) for i in range(3)]
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit("a party of MPyC failed")
    rows = [[json.loads(line) for line in text.splitlines() if line.startswith("{")] for text in printed]
    for name, *parties in zip(names.split(","), *rows, strict=True):
        found = {key: max(party[key] for party in parties) for key in ("seconds", "sent_mb")}
        print(json.dumps({"row": name} | found | {"cpu_s": sum(party["cpu_s"] for party in parties)}), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if any(argument.startswith("-I") for argument in sys.argv):
        party(sys.argv.pop(1).split(","))
    else:
        main(sys.argv[1])
