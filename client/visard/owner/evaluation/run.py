"""The evaluation itself: capture, judge, measure, and ask running services about a sample."""

import time
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from torch import nn

from visard.capture import Chip
from visard.client import Client
from visard.errors import InvalidRequest
from visard.owner.bring import Network, Shape
from visard.owner.evaluation import embed, metrics
from visard.owner.evaluation.attack import STEPS, Attack, attack
from visard.owner.evaluation.embed import Advance, Judge, Which
from visard.owner.evaluation.metrics import Bools, Floats
from visard.owner.evaluation.pairs import PairList
from visard.owner.evaluation.report import Report, Secure, calibrate, figures, rates, sample
from visard.owner.publish import Compiled
from visard.uploads import pictures_in


class Bar(Protocol):
    """Opens a progress bar for a stage of so many steps; what it gives is called once a step."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """A bar, open as long as the context."""


class Evaluation:
    """One network on one list of pairs: what is known about it so far."""

    def __init__(self, pairs: PairList, network: Network, compiled: Compiled, bar: Bar, which: Which) -> None:
        self.pairs, self.points, self._bar = pairs, dict(network.points), bar
        self._program: Any = compiled.program
        assert network.shape is not None
        channels, height, width = network.shape
        self.at_once = network.judges
        shape: Shape = (channels // pictures_in(channels), height, width)
        with bar("capturing", len(pairs.images)) as advance:
            self.captured = embed.capture_all(pairs.images, shape, which, advance, network.chip)
        self._vectors: dict[int, Floats] = {}  # of the float network
        self.float_scores = self._judge("float", embed.by_float(network.module))
        self.twin_scores = self._judge("fixed-point twin", embed.by_twin(compiled))

    def _judge(self, name: str, judge: Judge) -> Floats:
        total = len(self.pairs.same) if self.at_once else len(self.captured.rows)
        with self._bar(name, total) as advance:
            if self.at_once:
                return embed.pair_scores(self.captured, self.pairs, judge, advance)
            vectors = embed.descriptors(self.captured, judge, advance)
            self._vectors = self._vectors or vectors
            return embed.distances(vectors, self.pairs)

    def report(self) -> Report:
        """What float network and twin say of the pairs: everything that needs no services."""
        same, found = self.pairs.same, self.captured
        failures = {str(self.pairs.images[row]): reason for row, reason in found.failures.items()}
        counts = int(same.sum()), int((~same).sum()), len(self.pairs.images), len(set(self.pairs.people))
        report = Report(*counts, failures)
        with self._bar("bootstrapping", 2) as advance:
            for name, scores in (("float", self.float_scores), ("twin", self.twin_scores)):
                report.figures[name] = figures(scores, same)
                advance()
        for point in self.points:
            plain, fixed = self.float_decisions(point), self.twin_decisions(point)
            report.points[point] = {"float": rates(plain, same), "twin": rates(fixed, same)}
            report.decisions_differ[point] = int((plain != fixed).sum())
        if not self.at_once:
            report.calibration = calibrate(self._impostors(), len(set(self.pairs.people)), self.points)
        return report

    def attack(self, module: nn.Module) -> Attack:
        """How many people one image can be made to match; raises InvalidRequest for a network that judges pairs."""
        if self.at_once:
            raise InvalidRequest("an attack needs a network that embeds pictures")
        with self._bar("making an image that matches everybody", STEPS * len(self.points)) as advance:
            return attack(module, self.captured, self._vectors, self.pairs.people, self.points, advance)

    def _impostors(self) -> Floats:
        """Float distances of every first image to every second one of somebody else, as the list has them on its sides."""
        rows = np.array(self.captured.rows)
        vectors = np.stack([self._vectors[row] for row in rows])
        squares = (vectors**2).sum(axis=1)
        found = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * vectors @ vectors.T, 0))
        people = np.array(self.pairs.people)[rows]
        sides = np.isin(rows, self.pairs.first)[:, None] & np.isin(rows, self.pairs.second)[None]
        return np.asarray(found[np.triu((sides | sides.T) & (people[:, None] != people[None]), 1)])

    def float_decisions(self, point: str) -> Bools:
        """At a named operating point, a pair each."""
        return np.asarray(self.float_scores <= self.points[point])

    def twin_decisions(self, point: str) -> Bools:
        """Likewise; distances are compared as the parties compare them, squared and as integers."""
        if self.at_once:
            return np.asarray(self.twin_scores <= self.points[point])
        squares = np.rint((self.twin_scores * 2.0**self._program.output.scale) ** 2)
        return np.asarray(squares <= self._program.threshold(point))

    async def secure(self, client: Client, count: int, point: str) -> Secure:
        """Ask running services about a sample of the pairs whose images both have a picture."""
        usable = np.flatnonzero(np.isfinite(self.float_scores))
        rows = usable[sample(self.pairs.same[usable], count)]
        answers, started = np.zeros(len(rows), np.bool_), time.monotonic()
        with self._bar("asking the services", len(rows)) as advance:
            for k, row in enumerate(rows):
                answers[k] = await self._ask(client, int(row), point)
                advance()
        return Secure(
            len(rows),
            point,
            metrics.proportion(answers == self.pairs.same[rows]),
            int((answers != self.float_decisions(point)[rows]).sum()),
            int((answers != self.twin_decisions(point)[rows]).sum()),
            round((time.monotonic() - started) / len(rows), 3),
        )

    async def _ask(self, client: Client, row: int, point: str) -> bool:
        sides = int(self.pairs.first[row]), int(self.pairs.second[row])
        pictures = [self.captured.pictures[side].transpose(1, 2, 0) for side in sides]
        if self.at_once:
            return bool((await client.run(*pictures)).values.item() > 0.5)
        chips = [Chip(picture, picture) for picture in pictures]
        return (await client.compare(*chips, operating_point=point)).match
