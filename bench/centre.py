"""``python -m bench.centre LFW ORL [--kept DIR]``: what ``--centre`` does to the rates, at the mean's place and at another.

LFW is the folder of view 1's test with its pairs.txt, ORL has a folder a person. SFace as it is published, float; of each photo
the face nearest to the centre, described once. Nobody is compared by the help of a mean of own photos, but where it says so.
See docs/evaluation.md, which quotes the figures. ``--kept``: a folder for the descriptors.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from visard.owner.bring import load
from visard.owner.evaluation import embed
from visard.owner.evaluation.comparisons import numbered
from visard.owner.evaluation.pairs import read_folders, read_pairs
from visard.owner.evaluation.sphere import unit
from visard.owner.networks.names import FACE

from bench.faces import Floats, limit, one_thread

RATES = (1e-3, 1e-4, 1e-5)
DRAWS = 50  # of halves of the people
FEW = 20  # photos, the fewest that --centre takes
CARRIES = 30  # false matches: see visard.owner.evaluation.calibration
_SEED = 1

console = Console(highlight=False, width=150)
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """Photos of one place: person (N,) by number, and descriptors (N, D) as the network gives them."""

    person: npt.NDArray[np.int64]
    raw: Floats

    @property
    def mean(self) -> Floats:
        """(D,)."""
        return np.asarray(self.raw.mean(axis=0))

    def of(self, chosen: Bools) -> "Place":
        """Some of the photos (N,)."""
        return Place(self.person[chosen], self.raw[chosen])

    def scores(self, mean: Floats | float = 0.0) -> "Scores":
        """All comparisons, of descriptors less a mean (D,)."""
        vectors = unit(self.raw - mean)
        i, j = np.triu_indices(len(self.person), 1)
        found, same = (vectors @ vectors.T)[i, j], self.person[i] == self.person[j]
        return Scores(found[same], found[~same])

    def by_the_others(self) -> "Scores":
        """All comparisons, each less the mean of everybody else's photos: (N, N) cosines, two people at a time."""
        genuine: list[Floats] = []
        strangers: list[Floats] = []
        people = np.unique(self.person)
        for k, one in enumerate(people):
            for other in people[k:]:
                pair = (self.person == one) | (self.person == other)
                part = self.of(pair)
                vectors = unit(part.raw - self.of(~pair).mean)
                i, j = np.triu_indices(len(vectors), 1)
                found, same = (vectors @ vectors.T)[i, j], part.person[i] == part.person[j]
                (genuine if one == other else strangers).append(found[same if one == other else ~same])
        return Scores(np.concatenate(genuine), np.concatenate(strangers))


@dataclass(frozen=True)
class Scores:
    """Cosines of one person's photos, and of different people's."""

    genuine: Floats
    strangers: Floats

    def accepted(self, rate: float) -> float:
        """The true match rate where so many of these strangers match."""
        return float((self.genuine > limit(self.strangers, rate)).mean())

    def allowed(self, rate: float) -> int:
        """How many false matches that rate is."""
        return int(rate * len(self.strangers))

    @property
    def apart(self) -> float:
        """Between both means, in standard deviations."""
        spread = np.sqrt((self.genuine.var() + self.strangers.var()) / 2)
        return float((self.genuine.mean() - self.strangers.mean()) / spread)


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("orl", type=Path)
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    one_thread()
    pairs = read_pairs(options.lfw / "pairs.txt", options.lfw)
    lfw = described(pairs.images, pairs.people, options.kept and options.kept / "lfw-raw.npz")
    orl = described(*read_folders(options.orl), options.kept and options.kept / "orl-raw.npz")
    console.print(
        f"LFW {len(lfw.person)} photos, ORL {len(orl.person)}; cosine of both means {cosine(lfw.mean, orl.mean):.3f}"
    )
    console.print(whole(lfw, orl), halves(lfw, orl), carried(lfw, orl), calibrated(lfw, orl))


def cosine(one: Floats, other: Floats) -> float:
    """Of two vectors."""
    return float(unit(one) @ unit(other))


def described(images: list[Path], people: list[str], kept: Path | None) -> Place:
    """Of the photos that show a usable face; from the file ``kept`` if it is there, else into it."""
    if kept is not None and kept.exists():
        with np.load(kept) as found:
            return Place(found["person"], found["raw"])
    network = load(FACE)
    assert network.shape is not None
    captured = embed.capture_all(images, network.shape, "central", lambda: None, network.chip)
    vectors = embed.described(captured, captured.rows, embed.by_float(network.module), lambda: None)
    made = Place(numbered(people)[1][captured.rows], np.stack([vectors[row] for row in captured.rows]))
    if kept is not None:
        np.savez(kept, person=made.person, raw=made.raw)
    return made


def _rate(scores: Scores, rate: float) -> str:
    """A true match rate; in brackets where too few false matches carry it, nothing where there is not one."""
    allowed = scores.allowed(rate)
    if not allowed:
        return ""
    told = f"{100 * scores.accepted(rate):.1f}"
    return told if allowed >= CARRIES else f"({told}: {allowed})"


def whole(lfw: Place, orl: Place) -> Table:
    """All comparisons of a set, points of their own."""
    table = Table("photos", "less", "genuine", "strangers", *(f"TAR at {rate:.0e}" for rate in RATES), "apart")
    table.title = "all comparisons, TAR in %, (TAR: false matches) where they are fewer than 30"
    rows = (
        ("LFW", "nothing", lfw.scores()),
        ("LFW", "the mean of these very photos", lfw.scores(lfw.mean)),
        ("LFW", "ORL's mean", lfw.scores(orl.mean)),
        ("ORL", "nothing", orl.scores()),
        ("ORL", "the mean of these very photos", orl.scores(orl.mean)),
        ("ORL", "the mean of the 38 others, for each two", orl.by_the_others()),
        ("ORL", "LFW's mean", orl.scores(lfw.mean)),
    )
    for name, less, scores in rows:
        cells = (_rate(scores, rate) for rate in RATES)
        table.add_row(name, less, str(len(scores.genuine)), str(len(scores.strangers)), *cells, f"{scores.apart:.2f}")
    return table


def parted(place: Place, count: int) -> Iterator[list[Place]]:
    """Its people in so many parts, as large as each other: DRAWS times."""
    rng = np.random.default_rng(_SEED)
    people = np.unique(place.person)
    for _ in range(DRAWS):
        yield [place.of(np.isin(place.person, some)) for some in np.array_split(rng.permutation(people), count)]


def halves(lfw: Place, orl: Place) -> Table:
    """The mean of half of the people, comparisons of the others, on whom the points are taken."""
    table = Table("photos", "less", "strangers", *(f"TAR at {rate:.0e}, against nothing less" for rate in RATES))
    table.title = f"people apart: {DRAWS} draws, mean and standard deviation"
    for name, place in (("LFW", lfw), ("ORL", orl)):
        rng = np.random.default_rng(_SEED)
        found: dict[str, list[list[float]]] = {}
        strangers = []
        for theirs, others in parted(place, 2):
            some = theirs.raw[rng.permutation(len(theirs.raw))[:FEW]].mean(axis=0)
            scores = {
                "nothing": others.scores(),
                "the mean of the other half": others.scores(theirs.mean),
                f"the mean of {FEW} photos of these": others.scores(some),
            }
            strangers.append(len(scores["nothing"].strangers))
            for less, one in scores.items():
                found.setdefault(less, []).append([one.accepted(r) if one.allowed(r) else np.nan for r in RATES])
        plain = np.array(found["nothing"])
        for less, rates in found.items():
            table.add_row(name, less, f"{np.mean(strangers):.0f}", *_spread(100 * np.array(rates), 100 * plain))
    return table


def _spread(rates: Floats, plain: Floats) -> list[str]:
    cells = []
    for column, base in zip(rates.T, plain.T, strict=True):
        gain = column - base
        told = "" if np.isnan(column).all() else f"{column.mean():.1f} ± {column.std():.1f}"
        cells.append(told + (f", {gain.mean():+.2f} ± {gain.std():.2f}" if told and gain.any() else ""))
    return cells


def carried(lfw: Place, orl: Place) -> Table:
    """Points of one place at the other: how many times the named rate comes through, and how many are missed."""
    table = Table("points of", "at", "less", *(f"times {rate:.0e}; FNMR" for rate in RATES))
    table.title = "points carried to another place"
    means = (("nothing", 0.0), ("LFW's mean", lfw.mean), ("ORL's mean", orl.mean))
    for source, goal, home, away in (("LFW", "ORL", lfw, orl), ("ORL", "LFW", orl, lfw)):
        for less, mean in means:
            table.add_row(source, goal, less, *_moved(home.scores(mean), away.scores(mean)))
    table.add_row("LFW", "ORL", "at each its own mean", *_moved(lfw.scores(lfw.mean), orl.by_the_others()))
    return table


def _moved(home: Scores, away: Scores) -> list[str]:
    cells = []
    for rate in RATES:
        point = limit(home.strangers, rate)
        within = int((away.strangers > point).sum())
        times = within / len(away.strangers) / rate
        told = f"{times:.1f} ({within}); {100 * (away.genuine <= point).mean():.1f} %"
        cells.append(told if home.allowed(rate) else "")
    return cells


def calibrated(lfw: Place, orl: Place) -> Table:
    """Points taken from a third of the people, at another third, with the mean of the last one or of those with the points."""
    table = Table("photos", "less", *(f"times {rate:.0e}; FNMR" for rate in RATES))
    table.title = f"points of a third of the people, at another third: mean of {DRAWS} draws"
    for name, place in (("LFW", lfw), ("ORL", orl)):
        found: dict[str, list[list[tuple[float, float]]]] = {}
        for last, points_of, others in parted(place, 3):
            means: dict[str, Floats | float] = {
                "nothing": 0.0,
                "the mean of the last third": last.mean,
                "the mean of those with the points": points_of.mean,
            }
            for less, mean in means.items():
                home, away = points_of.scores(mean), others.scores(mean)
                points = [limit(home.strangers, rate) if home.allowed(rate) else np.nan for rate in RATES]
                rates = [(float((away.strangers > p).mean()), float((away.genuine <= p).mean())) for p in points]
                found.setdefault(less, []).append(rates)
        for less, all_rates in found.items():
            matched, missed = np.array(all_rates).mean(axis=0).T
            told = [f"{m / r:.2f}; {100 * n:.1f} %" for m, n, r in zip(matched, missed, RATES, strict=True)]
            table.add_row(
                name, less, *(cell * (home.allowed(rate) > 0) for cell, rate in zip(told, RATES, strict=True))
            )
    return table


if __name__ == "__main__":
    main()
