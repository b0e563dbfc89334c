"""The evaluation itself: capture, judge, measure, and ask running services about a sample."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visard.capture import Chip
from visard.client import Client
from visard.owner.bring import Network, Shape
from visard.owner.evaluation import embed, photos
from visard.owner.evaluation import report as reports
from visard.owner.evaluation.comparisons import Comparisons, from_pairs
from visard.owner.evaluation.embed import Judge, Which
from visard.owner.evaluation.intervals import Listed
from visard.owner.evaluation.metrics import Bools, Estimate, Floats
from visard.owner.evaluation.pairs import PairList
from visard.owner.evaluation.photos import Bar, Photos
from visard.owner.evaluation.report import Report, Secure, Twin
from visard.owner.evaluation.sphere import MeanTest, unit
from visard.owner.publish import Compiled
from visard.uploads import pictures_in

TWIN_PAIRS = 200


class Evaluation:
    """One network on one list of pairs: what is known about it so far."""

    def __init__(
        self, pairs: PairList, network: Network, compiled: Compiled, bar: Bar, which: Which, *, twin: int = TWIN_PAIRS
    ) -> None:
        self.pairs, self.network, self.bar, self._which = pairs, network, bar, which
        self.points = dict(network.points)
        self._program: Any = compiled.program
        self.at_once = network.judges
        captured = self.captured(pairs.images)
        self.photos = photos.listed(pairs.images, pairs.people, captured, pairs.first, pairs.second)
        self.usable = np.isin(pairs.first, captured.rows) & np.isin(pairs.second, captured.rows)
        self.test = _mean_test(network)
        self._refused: Estimate | None = None
        self.vectors: dict[int, Floats] = {}  # of the float network
        self.float_scores = self._judge()
        self.found = self._comparisons()
        self.sampled = np.flatnonzero(self.usable)[reports.sample(pairs.same[self.usable], twin)]
        self.twin_scores = self._twin(embed.by_twin(compiled))

    def captured(self, images: Sequence[Path]) -> embed.Captured:
        """A picture of each, as the network takes them."""
        assert self.network.shape is not None
        channels, height, width = self.network.shape
        shape: Shape = (channels // pictures_in(channels), height, width)
        with self.bar("capturing", len(images)) as advance:
            return embed.capture_all(images, shape, self._which, advance, self.network.chip)

    def _judge(self) -> Floats:
        if self.at_once:
            judge = embed.by_float(self.network.module)
            with self.bar("float", len(self.pairs.same)) as advance:
                return embed.pair_scores(self.photos.captured, self.pairs, judge, advance)
        self.vectors, self._refused = self.described(self.photos)
        return embed.distances(self.vectors, self.pairs)

    def described(self, found: Photos) -> tuple[dict[int, Floats], Estimate | None]:
        """Unit vectors of what was captured, zeros where the test against a mean refuses; and how many it does refuse."""
        with self.bar("float", len(found.captured.rows)) as advance:
            vectors = embed.descriptors(found.captured, embed.by_float(self.network.module), advance)
        return (vectors, None) if self.test is None else found.refused(vectors, self.test)

    def _comparisons(self) -> Comparisons:
        if not self.at_once:
            return self.photos.compare(self.vectors, max(self.points.values(), default=0.0))
        first, second = (self.photos.person[side[self.usable]] for side in (self.pairs.first, self.pairs.second))
        scores, same = self.float_scores[self.usable], self.pairs.same[self.usable]
        return from_pairs(scores, same, first, second, len(self.photos.names))

    def _twin(self, judge: Judge) -> Floats:
        """Of the pairs sampled."""
        part = self.pairs.of(self.sampled)
        if not len(part.same):
            return np.zeros(0)
        rows = np.unique(np.concatenate([part.first, part.second])).tolist()
        with self.bar("fixed-point twin", len(part.same) if self.at_once else len(rows)) as advance:
            if self.at_once:
                return embed.pair_scores(self.photos.captured, part, judge, advance)
            return embed.half_squares(embed.described(self.photos.captured, rows, judge, advance), part, self._program)

    def report(self, model: str) -> Report:
        """What float network and twin say: everything that needs no services."""
        same, images = self.pairs.same, self.pairs.images
        failures = {str(images[row]): reason for row, reason in self.photos.captured.failures.items()}
        made = Report(model, int(same.sum()), int((~same).sum()), len(images), len(self.photos.names), failures)
        made.refused_by_mean = self._refused
        with self.bar("resampling people", 1 + len(self.points)) as advance:
            made.figures["float"] = reports.figures(
                self.float_scores[self.usable], same[self.usable], self._listed().of(self.usable)
            )
            advance()
            for name, distance in self.points.items():
                made.points[name] = self.point(self.photos, self.found, distance)
                advance()
        differ = {name: int((self._sampled(name) != self.twin_decisions(name)).sum()) for name in self.points}
        scores = self.twin_scores if self.at_once else embed.half_distances(self.twin_scores, self._program)
        off = np.abs(scores - self.float_scores[self.sampled]).max(initial=0.0)
        made.twin = Twin(len(self.sampled), differ, float(off))
        return made

    def _listed(self) -> Listed:
        first, second = (self.photos.person[side] for side in (self.pairs.first, self.pairs.second))
        return Listed(first, second, self.photos.drawn)

    def point(self, photos: Photos, found: Comparisons, distance: float) -> reports.Point:
        """Error rates of a set of photos within a distance."""
        attempted = None if self.at_once else photos.attempted
        return reports.point(found, distance, photos.drawn, attempted, on_sphere=not self.at_once)

    def float_decisions(self, point: str) -> Bools:
        """At a named operating point, a pair each."""
        return np.asarray(self.float_scores <= self.points[point])

    def _sampled(self, point: str) -> Bools:
        return np.asarray(self.float_decisions(point)[self.sampled])

    def twin_decisions(self, point: str) -> Bools:
        """Likewise, of the pairs sampled; as the parties compare them, half the squared distance as an integer."""
        if self.at_once:
            return np.asarray(self.twin_scores <= self.points[point])
        return np.asarray(self.twin_scores <= self._program.threshold(point))

    async def secure(self, client: Client, count: int, point: str) -> Secure:
        """Ask running services about so many pairs of those that the twin has judged."""
        chosen = reports.sample(self.pairs.same[self.sampled], count)
        rows = self.sampled[chosen]
        answers, started = np.zeros(len(rows), np.bool_), time.monotonic()
        with self.bar("asking the services", len(rows)) as advance:
            for k, row in enumerate(rows):
                answers[k] = await self._ask(client, int(row), point)
                advance()
        return Secure(
            len(rows),
            point,
            self._listed().of(rows).share(answers == self.pairs.same[rows]),
            int((answers != self.float_decisions(point)[rows]).sum()),
            int((answers != self.twin_decisions(point)[chosen]).sum()),
            round((time.monotonic() - started) / len(rows), 3),
        )

    async def _ask(self, client: Client, row: int, point: str) -> bool:
        sides = int(self.pairs.first[row]), int(self.pairs.second[row])
        pictures = [self.photos.captured.pictures[side].transpose(1, 2, 0) for side in sides]
        if self.at_once:
            return bool((await client.run(*pictures)).values.item() > 0.5)
        chips = [Chip(picture, picture) for picture in pictures]
        return (await client.compare(*chips, operating_point=point)).match


def _mean_test(network: Network) -> MeanTest | None:
    """What a program of this network refuses, if it refuses anything."""
    return MeanTest(unit(np.array(network.mean, np.float64)), network.mean_limit) if network.mean else None
