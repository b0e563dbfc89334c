"""The evaluation itself: capture, embed, measure, and ask running services about a sample."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import numpy.typing as npt

from visard.client import Client
from visard.evaluation import metrics
from visard.evaluation.embed import Advance, Captured, Twin, capture_all, float_descriptors
from visard.evaluation.metrics import Bools, Floats
from visard.evaluation.pairs import PairList
from visard.evaluation.report import Report, Secure, calibrate, figures, sample
from visard.models.face_resnet import OPERATING_POINTS

Number = np.float64 | np.int64
Vectors = Mapping[int, npt.NDArray[Number]]


class Bar(Protocol):
    """Opens a progress bar for a stage of so many steps; what it gives is called once a step."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """A bar, open as long as the context."""


class Evaluation:
    """One list of pairs: what is known about it so far."""

    def __init__(self, pairs: PairList, bar: Bar, *, q: int) -> None:
        self.pairs, self._bar = pairs, bar
        with bar("capturing", len(pairs.images)) as advance:
            self.captured: Captured = capture_all(pairs.images, advance)
        rows = len(self.captured.rows)
        with bar("embedding: float", rows) as advance:
            self._float = float_descriptors(self.captured, advance)
        self.twin = Twin(q)
        with bar("embedding: fixed-point twin", rows) as advance:
            self._twin = self.twin.descriptors(self.captured, advance)
        self.float_distances = self._distances(self._float)
        self.twin_distances = self._distances(self._twin) / self.twin.scale

    def report(self) -> Report:
        """Everything that needs no services."""
        same, found = self.pairs.same, self.captured
        failures = {str(self.pairs.images[row]): reason for row, reason in found.failures.items()}
        counts = int(same.sum()), int((~same).sum()), len(self.pairs.images), len(set(self.pairs.people))
        report = Report(*counts, failures)
        with self._bar("bootstrapping", 2) as advance:
            for name, distances in (("float", self.float_distances), ("twin", self.twin_distances)):
                report.figures[name] = figures(distances, same)
                advance()
        for point in OPERATING_POINTS:
            plain, fixed = self.float_decisions(point), self.twin_decisions(point)
            report.decisions_differ[point] = int((plain != fixed).sum())
        descriptors = np.stack([self._float[row] for row in found.rows])
        report.calibration = calibrate(descriptors, [self.pairs.people[row] for row in found.rows], OPERATING_POINTS)
        return report

    def float_decisions(self, point: str) -> Bools:
        """At a named operating point, a pair each."""
        return np.asarray(self.float_distances <= OPERATING_POINTS[point])

    def twin_decisions(self, point: str) -> Bools:
        """Likewise, comparing integers as the parties do."""
        squares = np.rint((self.twin_distances * self.twin.scale) ** 2)
        return np.asarray(squares <= self.twin.threshold(point))

    async def secure(self, client: Client, count: int, point: str) -> Secure:
        """Ask running services about a sample of the pairs whose images both have a face."""
        usable = np.flatnonzero(np.isfinite(self.float_distances))
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
        chips = [self.captured.chips[int(side[row])] for side in (self.pairs.first, self.pairs.second)]
        return (await client.compare(*chips, operating_point=point)).match

    def _distances(self, vectors: Vectors) -> Floats:
        """Between the images of every pair; infinite where one has no face: a refusal is no match."""
        sides = zip(self.pairs.first.tolist(), self.pairs.second.tolist(), strict=True)
        found = [np.linalg.norm(vectors[a] - vectors[b]) if a in vectors and b in vectors else np.inf for a, b in sides]
        return np.array(found, np.float64)
