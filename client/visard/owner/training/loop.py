"""Training one of the thesis' networks: batches of people, augmentation, contrastive loss or cross entropy.

Descriptors that match by distance are brought to length one before their distance is taken, as they are on shares.

The same seed on the same machine gives the same weights: one thread, one generator, no clock.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from visard.owner.evaluation.metrics import best_threshold
from visard.owner.networks.thesis import NETWORKS, PIXEL_MEAN, PIXEL_SCALE, PairHead, fold
from visard.owner.training.faces import Faces, Pairs, Parts, Split, evaluation_pairs

MARGIN = 1.0
PEOPLE_A_BATCH, IMAGES_A_PERSON = 12, 4
DEFAULT_STEPS = 600
CURVE_POINTS = 15
_RATE, _DECAY = 2e-3, 1e-3
_TURN, _ZOOM, _SHIFT, _LIGHT = 0.15, 0.12, 0.08, 0.3  # radians, and parts of one


@dataclass(frozen=True)
class Point:
    """One point of the learning curve: mean loss since the last one, accuracy on the validation pairs."""

    step: int
    loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class Trained:
    """A branch for inference on raw pixels, its head if any, and how well it did."""

    branch: nn.Sequential
    head: PairHead | None
    threshold: float
    curve: list[Point]
    validation_accuracy: float
    test_accuracy: float
    test_pairs: int


class Trainer:
    """One training run; ``step`` is called DEFAULT_STEPS times or so."""

    def __init__(self, name: str, faces: Faces, parts: Parts, by: Split, *, steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = NETWORKS[name]
        self.branch = self.network.branch(True)
        self.head = PairHead() if self.network.loss == "entropy" else None
        self.pixels = (torch.from_numpy(faces.pictures).float() - PIXEL_MEAN) / PIXEL_SCALE
        self.parts, self.steps = parts, steps
        self.validation = evaluation_pairs(faces, parts, parts.validation, by, seed)
        self.test = evaluation_pairs(faces, parts, parts.test, by, seed)
        self.people = torch.from_numpy(faces.people)
        self.batches = _batches(faces.people, parts.train, np.random.default_rng(seed))
        learnt = [*self.branch.parameters(), *(self.head.parameters() if self.head else ())]
        self.optimiser = torch.optim.AdamW(learnt, _RATE, weight_decay=_DECAY)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, _RATE, total_steps=steps, pct_start=0.2)

    def run(self, progress: Callable[[], None] = lambda: None) -> Trained:
        """All steps; ``progress`` hears of each."""
        every = max(1, self.steps // CURVE_POINTS)
        curve, losses = [], []
        for step in range(1, self.steps + 1):
            losses.append(self.step())
            if step % every == 0 or step == self.steps:
                curve.append(Point(step, float(np.mean(losses)), self._validate()))
                losses = []
            progress()
        return self._finish(curve)

    def step(self) -> float:
        """One batch; its loss."""
        rows = torch.from_numpy(next(self.batches))
        self.branch.train()
        descriptors = self._compared(self.branch(augment(self.pixels[rows])))
        same = self.people[rows][:, None] == self.people[rows][None]
        loss = entropy(self.head, descriptors, same) if self.head else contrastive(descriptors, same)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.schedule.step()
        return float(loss.detach())

    def _embed(self) -> Tensor:
        self.branch.eval()
        with torch.no_grad():
            return torch.cat([self.branch(part) for part in torch.split(self.pixels, 64)])

    def _compared(self, descriptors: Tensor) -> Tensor:
        """As they are compared: at length one, but for a head, which takes them as they are."""
        return descriptors if self.head else functional.normalize(descriptors)

    def _validate(self) -> float:
        scores = score(self._compared(self._embed()), self.validation, self.head)
        return accuracy(scores, self.validation, self._threshold(scores))

    def _threshold(self, scores: npt.NDArray[np.float64]) -> float:
        return 0.0 if self.head else best_threshold(scores, self.validation.same)

    def _finish(self, curve: list[Point]) -> Trained:
        """Fold and scale, so that descriptors of training images have a norm of one at most."""
        descriptors = self._embed()
        size = float(descriptors[self.parts.train].norm(dim=1).max())
        compared = self._compared(descriptors)
        validation, test = (score(compared, pairs, self.head) for pairs in (self.validation, self.test))
        threshold = self._threshold(validation)
        branch = fold(self.branch, self.network.branch(False))
        if self.head is None:
            _shorten(branch, size)
        return Trained(
            branch,
            self.head.eval().requires_grad_(False) if self.head else None,
            threshold,
            curve,
            accuracy(validation, self.validation, threshold),
            accuracy(test, self.test, threshold),
            len(self.test.same),
        )


def contrastive(descriptors: Tensor, same: Tensor) -> Tensor:
    """Mean of d^2 over pairs of one person and of max(0, margin - d)^2 over the pairs of strangers that violate it."""
    products = descriptors @ descriptors.T
    squares = products.diagonal()
    distances = (squares[:, None] + squares[None] - 2 * products).clamp(min=1e-8).sqrt()
    above = torch.ones_like(same).triu(1)
    genuine = distances[same & above].square()
    strangers = (MARGIN - distances[~same & above]).clamp(min=0).square()
    return genuine.mean() + strangers.sum() / (strangers > 0).sum().clamp(min=1)


def entropy(head: PairHead, descriptors: Tensor, same: Tensor) -> Tensor:
    """Cross entropy over all ordered pairs of a batch, both answers weighing the same."""
    first, second = torch.nonzero(~torch.eye(len(same), dtype=torch.bool), as_tuple=True)
    answers = same[first, second].long()
    weights = torch.tensor([1.0, float((answers == 0).sum()) / float(answers.sum())])
    logits = head(descriptors[first], descriptors[second])
    return functional.cross_entropy(logits, answers, weight=weights, label_smoothing=0.02)


def augment(pixels: Tensor) -> Tensor:
    """Turned, zoomed, shifted, mirrored and relit, each image in its own way."""
    n = len(pixels)
    turn, zoom = _TURN * (2 * torch.rand(n) - 1), 1 + _ZOOM * (2 * torch.rand(n) - 1)
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    shift = 2 * _SHIFT * (2 * torch.rand(n, 2) - 1)
    rows = [
        torch.stack([mirror * zoom * turn.cos(), -zoom * turn.sin(), shift[:, 0]], 1),
        torch.stack([mirror * zoom * turn.sin(), zoom * turn.cos(), shift[:, 1]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    gain, bias = (1 + _LIGHT * (2 * torch.rand(n) - 1), _LIGHT * (2 * torch.rand(n) - 1))
    return moved * gain[:, None, None, None] + bias[:, None, None, None]


def score(descriptors: Tensor, pairs: Pairs, head: PairHead | None) -> npt.NDArray[np.float64]:
    """Distances; of a head "different" minus "same", both orders taken together."""
    first, second = descriptors[pairs.first], descriptors[pairs.second]
    if head is None:
        return np.asarray((first - second).norm(dim=1), np.float64)
    with torch.no_grad():
        logits = head(first, second) + head(second, first)
    return np.asarray(logits[:, 0] - logits[:, 1], np.float64)


def accuracy(scores: npt.NDArray[np.float64], pairs: Pairs, threshold: float) -> float:
    """Part of the pairs that a threshold decides rightly."""
    return float(((scores <= threshold) == pairs.same).mean())


def _batches(
    people: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """For ever: a few images each of a few people."""
    of = [rows[people[rows] == person] for person in np.unique(people[rows])]
    of = [images for images in of if len(images) >= 2]
    while True:
        chosen = rng.permutation(len(of))[:PEOPLE_A_BATCH]
        yield np.concatenate([rng.permutation(of[k])[:IMAGES_A_PERSON] for k in chosen])


def _shorten(branch: nn.Sequential, size: float) -> None:
    """Divide descriptors through the last matrix; what they are at length one stays."""
    last = branch[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias.div_(size)
        last.weight.div_(size)
