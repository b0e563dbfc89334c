"""Which channels to take, and what takes their place: by what the descriptor sees of it, on calibration images.

In place of an activation comes the least-squares linear function of all that its convolution reads, which is nearer to it
than a line through its own input (half the squared error in SFace) and costs the same once convolutions are merged. What it
leaves is a residual at each element. To first order the descriptor moves by the sum of residuals times derivatives (as in
optimal brain damage: Y. LeCun, J. Denker, S. Solla, 1989, of channels instead of weights). A channel's harm is the mean
square of that sum, over images and random directions of the descriptor on its sphere; the channels with the least harm for
what they save go first, in a few steps, each measured on the network as it is by then.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from visard_engine.nn.errors import UnsupportedLayer
from visard_engine.nn.linearise.merging import Floats, Lines, numbers_of
from visard_engine.nn.linearise.places import Place
from visard_engine.nn.tracing import layer_of

STEPS = 2  # in which channels are chosen
DIRECTIONS = 2  # of the descriptor, for each image
_SEED = 0
_BATCH = 4
_RIDGE = 1e-4  # of the mean variance of what is read: how much a line through the activation's own input is preferred

# seconds that an element and a product cost at 1 Gbit/s: 0.2 us and 0.13 ns of a party (cost.py), 8.9 bytes sent and 19.7 of kit
SECONDS_PER_ELEMENT = 0.2e-6 + 28.6 * 8e-9
SECONDS_PER_PRODUCT = 0.13e-9


@dataclass
class _Chosen:
    """Of one place: which channels are taken, and for all of them weights (C, inputs) and biases (C,) as fitted last."""

    taken: npt.NDArray[np.bool_]
    weights: Tensor
    biases: Tensor


def saving(place: Place) -> float:
    """Seconds that a channel of a place saves if it is taken; of no use if negative."""
    return place.size * SECONDS_PER_ELEMENT - place.products * SECONDS_PER_PRODUCT


def fit(
    graph: fx.GraphModule, found: Sequence[Place], elements: int, images: npt.NDArray[np.uint8], dtype: torch.dtype
) -> tuple[Lines, ...]:
    """Lines for so many elements of the places, on images (N, C, H, W); raises UnsupportedLayer where there are not so many."""
    useful = [place for place in found if saving(place) > 0]
    most = sum(place.size * place.channels for place in useful)
    if elements > most or not most:
        raise UnsupportedLayer(
            f"lines for {elements} activation elements: {most} of this network's can be lines to advantage, those between "
            "a 1x1 convolution and a depthwise one"
        )
    batches = [torch.from_numpy(images[k : k + _BATCH]).to(dtype) for k in range(0, len(images), _BATCH)]
    chosen: dict[str, _Chosen] = {}
    for step in range(STEPS):
        chosen = _fitted(graph, useful, chosen, batches)
        _choose(useful, chosen, _harms(graph, useful, chosen, batches), elements * (step + 1) / STEPS)
    _fit_in_turn(graph, useful, chosen, batches)
    return tuple(
        Lines(name, np.flatnonzero(one.taken), one.weights.numpy()[one.taken], one.biases.numpy()[one.taken])
        for name, one in chosen.items()
        if one.taken.any()
    )


def _choose(useful: Sequence[Place], chosen: Mapping[str, _Chosen], harms: Mapping[str, Floats], wanted: float) -> None:
    """Take more channels, those with the least harm for what they save, until so many elements are taken."""
    taken = sum(place.size * int(chosen[place.name].taken.sum()) for place in useful)
    candidates = [
        (harms[place.name][channel] / saving(place), place.name, int(channel), place.size)
        for place in useful
        for channel in np.flatnonzero(~chosen[place.name].taken)
    ]
    for _, name, channel, size in sorted(candidates):
        if taken >= wanted:
            return
        chosen[name].taken[channel] = True
        taken += size


def _fitted(
    graph: fx.GraphModule, useful: Sequence[Place], chosen: Mapping[str, _Chosen], batches: Sequence[Tensor]
) -> dict[str, _Chosen]:
    """What comes nearest to each channel in the network with the channels taken so far."""
    sums = {place.name: _Moments() for place in useful}
    watch = _Lined(graph, useful, chosen)
    for batch in batches:
        with torch.no_grad():
            watch.run(batch)
        for name, seen in watch.found.items():
            sums[name].add(seen.read, seen.activation)
    found = {}
    for place in useful:
        taken = chosen[place.name].taken if chosen else np.zeros(place.channels, np.bool_)
        found[place.name] = _Chosen(taken, *sums[place.name].solved(graph, place))
    return found


def _fit_in_turn(
    graph: fx.GraphModule, useful: Sequence[Place], chosen: Mapping[str, _Chosen], batches: Sequence[Tensor]
) -> None:
    """Fit once more, from the first place to the last: to what the network was, from what the places before have made of it.

    So each makes up for those before it (as Y. He, X. Zhang, J. Sun, "Channel pruning for accelerating very deep neural
    networks", 2017): a third less of the descriptor is lost.
    """
    before, now = _Lined(graph, useful, {}), _Lined(graph, useful, chosen)
    for place in useful:
        one, sums = chosen[place.name], _Moments()
        if one.taken.any():
            for batch in batches:
                sums.add(now.reached(place, batch).read, before.reached(place, batch).activation)
            one.weights, one.biases = sums.solved(graph, place)


class _Moments:
    """Sums over images and places of what a convolution reads, x (inputs,), of activations a (C,), and of their products."""

    def __init__(self) -> None:
        self.count = 0
        self.x: Any = 0.0
        self.a: Any = 0.0
        self.xx: Any = 0.0
        self.xa: Any = 0.0

    def add(self, x: Tensor, a: Tensor) -> None:
        """Those of a batch: (B, inputs, H, W) and (B, C, H, W)."""
        x, a = (t.double().transpose(0, 1).flatten(1) for t in (x, a))
        self.count += x.shape[1]
        self.x, self.a = self.x + x.sum(dim=1), self.a + a.sum(dim=1)
        self.xx, self.xa = self.xx + x @ x.T, self.xa + x @ a.T

    def solved(self, graph: fx.GraphModule, place: Place) -> tuple[Tensor, Tensor]:
        """Weights (C, inputs) and biases (C,): the line through what the convolution makes of x, then the rest."""
        kernel, _ = numbers_of(cast(nn.Conv2d, layer_of(graph, place.before)))
        matrix = kernel[:, :, 0, 0]
        mean_x, mean_a = self.x / self.count, self.a / self.count
        xx = self.xx / self.count - torch.outer(mean_x, mean_x)
        xa = self.xa / self.count - torch.outer(mean_x, mean_a)
        along = matrix @ xx
        slopes = (matrix * xa.T).sum(dim=1) / (along * matrix).sum(dim=1).clamp_min(1e-12)
        line = slopes[:, None] * matrix
        ridge = _RIDGE * xx.diagonal().mean().clamp_min(1e-12) * torch.eye(len(xx), dtype=xx.dtype)
        weights = line + torch.linalg.solve(xx + ridge, xa - xx @ line.T).T
        return weights, mean_a - weights @ mean_x


def _harms(
    graph: fx.GraphModule, useful: Sequence[Place], chosen: Mapping[str, _Chosen], batches: Sequence[Tensor]
) -> dict[str, Floats]:
    """For each place the harm (C,) that taking one more of its channels would do."""
    found = {place.name: np.zeros(place.channels) for place in useful}
    random, watch = torch.Generator().manual_seed(_SEED), _Lined(graph, useful, chosen)
    for batch in batches:
        # an image that asks for derivatives makes torch keep them for all that follows
        with torch.enable_grad():
            output = watch.run(batch.clone().requires_grad_(True)).flatten(1)
            unit = output / output.norm(dim=1, keepdim=True).clamp_min(1e-12)
        seen = watch.found
        for k in range(DIRECTIONS):
            direction = torch.randn(unit.shape, generator=random, dtype=torch.float64).to(unit.dtype)
            total, results = (unit * direction).sum(), [one.result for one in seen.values()]
            for (name, one), g in zip(
                seen.items(), torch.autograd.grad(total, results, retain_graph=k + 1 < DIRECTIONS), strict=True
            ):
                residual = (one.activation - one.linear).detach()
                found[name] += ((g * residual).sum(dim=(2, 3)).double() ** 2).sum(dim=0).numpy()
    return found


@dataclass(frozen=True)
class _Seen:
    """At one place: what the convolution reads, the activation, what could take its place, and what goes on."""

    read: Tensor
    activation: Tensor
    linear: Tensor
    result: Tensor


class _Reached(Exception):
    """A place has been reached that nothing is computed beyond."""


class _Lined(fx.Interpreter):
    """Runs a graph in which some channels are taken, and keeps what there is at each place."""

    def __init__(self, graph: fx.GraphModule, useful: Sequence[Place], chosen: Mapping[str, _Chosen]) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self._last: Place | None = None
        self._places, self._chosen = {place.activation: place for place in useful}, chosen
        self._readers = {place.before: place.name for place in useful}
        self._read: dict[str, Tensor] = {}
        self.found: dict[str, _Seen] = {}

    def reached(self, place: Place, batch: Tensor) -> _Seen:
        """What there is at one place, without derivatives; no more is computed."""
        self._last = place
        with torch.no_grad(), contextlib.suppress(_Reached):
            self.run(batch)
        return self.found[place.name]

    def run_node(self, n: fx.Node) -> Any:
        """See fx.Interpreter."""
        if n in self._readers:
            self._read[self._readers[n]] = self.fetch_args_kwargs_from_env(n)[0][0]
        if (place := self._places.get(n)) is None:
            return super().run_node(n)
        read = self._read.pop(place.name)
        activation = linear = result = super().run_node(n)
        if (one := self._chosen.get(place.name)) is not None:
            weights, biases = one.weights.to(read.dtype), one.biases.to(read.dtype)
            linear = functional.conv2d(read, weights[:, :, None, None], biases)
            result = torch.where(torch.from_numpy(one.taken)[:, None, None], linear, activation)
        self.found[place.name] = _Seen(read, activation, linear, result)
        if place is self._last:
            raise _Reached
        return result
