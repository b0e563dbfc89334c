"""Rates over all comparisons, their intervals, calibration and identification are those of slow loops and of the truth."""

import itertools

import numpy as np
import pytest
from visard.errors import InvalidRequest
from visard.owner.evaluation import calibration, comparisons, groups, identification, intervals, report
from visard.owner.evaluation.sphere import cosine, distance, distances, unit

PEOPLE, PHOTOS, SIZE = 40, 4, 8


def people_of(
    rng: np.random.Generator, people: int = PEOPLE, photos: int = PHOTOS, spread: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around one of each person, and whose they are."""
    centres = rng.normal(size=(people, SIZE))
    person = np.repeat(np.arange(people), photos)
    return unit(centres[person] + spread * rng.normal(size=(len(person), SIZE))), person


def everybody(vectors: np.ndarray, person: np.ndarray, farthest: float = 0.0) -> comparisons.Comparisons:
    every = np.ones(len(person), np.bool_)
    return comparisons.compare(vectors, person, every, every, farthest=farthest)


@pytest.fixture
def made() -> tuple[np.ndarray, np.ndarray]:
    vectors, person = people_of(np.random.default_rng(1))
    return vectors[:-2], person[:-2]  # not everybody has as many


def distances__should_be_those_of_normalised_vectors() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    a, b = unit(vectors[:2])
    assert np.linalg.norm(a) == pytest.approx(1)
    assert distances(np.array(a @ b)) == pytest.approx(np.linalg.norm(a - b))
    assert cosine(distance(0.3)) == pytest.approx(0.3)
    assert cosine(float(np.linalg.norm(a - b))) == pytest.approx(a @ b)
    assert (unit(np.zeros((1, 3))) == 0).all()


@pytest.mark.parametrize("disjoint", [False, True])
def comparisons__should_be_every_pair_once(made: tuple[np.ndarray, np.ndarray], disjoint: bool) -> None:
    vectors, person = made
    first = np.arange(len(person)) % 3 == 0 if disjoint else np.ones(len(person), np.bool_)
    found = comparisons.compare(vectors, person, first, ~first if disjoint else first, farthest=1.0)
    kinds: dict[bool, list[float]] = {True: [], False: []}
    for i, j in itertools.combinations(range(len(person)), 2):
        if disjoint and first[i] == first[j]:
            continue
        kinds[bool(person[i] == person[j])].append(float(np.linalg.norm(vectors[i] - vectors[j])))
    assert found.genuine.distances == pytest.approx(np.sort(kinds[True]))
    assert found.impostors == len(kinds[False]) == found.farther.sum()
    assert found.near.distances == pytest.approx(np.sort([d for d in kinds[False] if d <= found.reach]))
    assert found.reach >= 1.0
    assert comparisons.genuine_among(found.images) == len(kinds[True])
    assert found.people == PEOPLE


def people__should_take_their_comparisons_with_them(made: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, person = made
    found, chosen = everybody(vectors, person, 1.0), np.arange(PEOPLE) < 10
    inside, again = found.of(chosen), everybody(vectors[person < 10], person[person < 10], 1.0)
    assert (inside.impostors, len(inside.genuine.distances)) == (again.impostors, len(again.genuine.distances))
    assert inside.near.within(1.0) == again.near.within(1.0)
    near, total = found.touching(chosen)
    assert total == found.impostors - found.of(~chosen).impostors
    assert near.within(1.0) == found.near.within(1.0) - found.of(~chosen).near.within(1.0)


def draws__should_count_as_if_people_were_there_so_often(made: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, person = made
    found, drawn = everybody(vectors, person, 1.0), intervals.draws(PEOPLE, resamples=5)
    for weights, impostors, matches in zip(
        drawn, found.impostors_of(drawn), found.near.drawn(drawn, found.near.within(1.0)), strict=True
    ):
        pairs = [(i, j) for i, j in itertools.combinations(range(len(person)), 2) if person[i] != person[j]]
        times = np.array([weights[person[i]] * weights[person[j]] for i, j in pairs])
        close = np.array([np.linalg.norm(vectors[i] - vectors[j]) <= 1.0 for i, j in pairs])
        assert (impostors, matches) == (times.sum(), times[close].sum())


def intervals_by_person__should_cover_the_truth() -> None:
    """Some people are missed nearly always, most never: intervals that take their pairs for independent are too narrow."""
    rng, covered, narrow = np.random.default_rng(5), 0, 0
    drawn = intervals.draws(PEOPLE, resamples=300)
    for _ in range(200):
        trials = np.full(PEOPLE, 30)
        events = np.where(rng.random(PEOPLE) < 0.2, rng.binomial(30, 0.9, PEOPLE), 0)
        found = intervals.by_person(events, trials, drawn)
        covered += found.low <= 0.18 <= found.high
        low, high = intervals.wilson(int(events.sum()), int(trials.sum()))
        narrow += low <= 0.18 <= high
    assert covered >= 180
    assert narrow < 100


def interval_of_false_matches__should_cover_the_truth() -> None:
    """People differ in how near they lie to everybody; the truth is that of very many people."""

    def population(rng: np.random.Generator, people: int) -> comparisons.Comparisons:
        vectors = rng.normal(size=(people, SIZE))
        vectors[:, 0] += np.where(rng.random(people) < 0.2, 3.0, 0.0)  # "lambs" and "wolves", all near one place
        return everybody(unit(vectors), np.arange(people), 0.9)

    rng = np.random.default_rng(6)
    truth = population(rng, 3000)
    rate = truth.near.within(0.8) / truth.impostors
    drawn = intervals.draws(60, resamples=300)
    found = [intervals.false_matches(population(rng, 60), 0.8, drawn) for _ in range(150)]
    assert sum(each.low <= rate <= each.high for each in found) >= 132


def nothing__should_not_be_sure() -> None:
    found = intervals.by_person(np.zeros(10, np.int64), np.full(10, 10), intervals.draws(10))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(3.84 / 103.84, abs=1e-3)
    low, high = intervals.wilson(5, 50)
    for end in (low, high):  # Wilson's ends lie 1.96 of their own deviations off
        assert abs(0.1 - end) == pytest.approx(1.96 * np.sqrt(end * (1 - end) / 50), rel=1e-3)


def points__should_be_carried_by_false_matches_or_an_interval() -> None:
    vectors, person = people_of(np.random.default_rng(2), 200, 2)
    found = everybody(vectors, person)
    assert found.impostors == 79_600
    made = {name: calibration.threshold(found, rate) for name, rate in calibration.RATES.items()}
    loose, strict, bound = made["FMR_1E2"], made["FMR_1E3"], made["FMR_1E4"]
    assert loose is not None
    assert strict is not None
    assert (loose.bounded, strict.bounded) == (False, False)
    assert 0.0009 < strict.false_matches / found.impostors <= 0.001
    if bound is not None:  # 7.96 false matches are too few to be a rate
        assert bound.bounded
        assert intervals.wilson(bound.false_matches, found.impostors)[1] <= 1e-4
    assert made["FMR_1E5"] is None, "not even none at all would do"


def calibration__should_be_judged_by_other_people() -> None:
    vectors, person = people_of(np.random.default_rng(3), 200, 2)
    found, drawn = everybody(vectors, person), intervals.draws(200, resamples=100)
    made = calibration.unseen(found, 0.01, calibration.HALVES, drawn)
    assert made is not None
    fold = calibration.folds(200, 2)
    assert sorted(np.bincount(fold)) == [100, 100]
    missed, genuine, matches, impostors = 0, 0, 0, 0
    for k in range(2):
        limit = calibration.threshold(found.of(fold != k), 0.01)
        assert limit is not None
        own = found.of(fold == k)
        missed += len(own.genuine.distances) - own.genuine.within(limit.distance)
        genuine += len(own.genuine.distances)
        matches += own.near.within(limit.distance)
        impostors += own.impostors
    assert (made.fnmr.value, made.fmr.value) == (missed / genuine, matches / impostors)
    tenths = calibration.unseen(found, 0.001, calibration.TENTHS, drawn)
    assert tenths is not None
    assert len(tenths.distances) == 10
    assert calibration.unseen(found, 1e-5, calibration.TENTHS, drawn) is None


def margin__should_keep_the_rate_on_both_sets() -> None:
    rng = np.random.default_rng(4)
    vectors, person = people_of(rng, 200, 2)
    first = everybody(vectors, person)
    closer = unit(people_of(rng, 200, 2)[0] + np.array([0.4, *[0.0] * (SIZE - 1)]))  # all lie to one side
    second = everybody(closer, person, first.reach)
    drawn = intervals.draws(200, resamples=100)
    made = calibration.calibrate(first, drawn, second)
    assert "FMR_1E2" not in made.thresholds, "nothing that may not be published, where there is better"
    assert made.default == next(name for name in calibration.DEFAULT if name in made.points)
    assert set(made.thresholds) == set(made.points), "default is the owner's matter: visard.points"
    for name, point in made.points.items():
        assert first.near.within(point.distance) <= point.rate * first.impostors
        assert second.near.within(point.distance) <= point.rate * second.impostors
        assert point.cosine == cosine(point.distance)
        assert made.thresholds[name] == point.distance
    point = made.points["FMR_1E3"]
    assert point.factor is not None
    assert point.factor > 1.5
    assert point.shift > 0
    alone = calibration.calibrate(first, drawn)
    assert alone.points["FMR_1E3"].distance > point.distance
    assert alone.points["FMR_1E3"].factor is None


def identification__should_be_that_of_a_loop(made: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, person = made
    points = {"loose": 1.0, "strict": 0.6}
    found = identification.identify(vectors, person, points, {"strict": 0.001}, gallery=25, galleries=3)
    rng = np.random.default_rng(identification._SEED)
    counts = {name: np.zeros(4, np.int64) for name in points}
    for _ in range(3):
        order, chosen = rng.permutation(len(person)), rng.permutation(PEOPLE)[:25].tolist()
        gallery = {p: next(row for row in order if person[row] == p) for p in chosen}
        for row in set(range(len(person))) - set(gallery.values()):
            near = {p: float(np.linalg.norm(vectors[row] - vectors[reference])) for p, reference in gallery.items()}
            nearest = min(near, key=lambda p: near[p])
            for name, limit in points.items():
                within = near[nearest] <= limit
                if person[row] in gallery:
                    counts[name] += [0, 0, 1, not within or nearest != person[row]]
                else:
                    counts[name] += [1, within, 0, 0]
    for name, (strangers, named, mates, missed) in counts.items():
        rates = found.points[name]
        assert [found.strangers, found.mates] == [int(strangers), int(mates)]
        assert rates.fpir.value == pytest.approx(named / strangers)
        assert rates.fnir.value == pytest.approx(missed / mates)
        assert rates.fpir.low <= rates.fpir.value <= rates.fpir.high
    assert found.points["strict"].expected == pytest.approx(1 - 0.999**25)
    assert found.points["loose"].expected is None


def gallery__should_leave_strangers(made: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(InvalidRequest, match="a gallery of 31 of 40 people: 1 to 30"):
        identification.identify(*made, {"default": 1.0}, {}, gallery=31)
    assert identification.identify(*made, {"default": 1.0}, {}, galleries=1).gallery == 20


def groups__should_be_compared_within_themselves(made: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, person = made
    named = ["a" if p < 15 else "b" if p < 38 else "" for p in range(PEOPLE)]
    drawn = intervals.draws(PEOPLE, resamples=50)
    (found,) = groups.differentials(everybody(vectors, person, 1.0), named, {"point": 0.9}, drawn).values()
    for name, group in found.groups.items():
        rows = [row for row in range(len(person)) if named[person[row]] == name]
        near = [
            (person[i] == person[j], np.linalg.norm(vectors[i] - vectors[j]) <= 0.9)
            for i, j in itertools.combinations(rows, 2)
        ]
        strangers = [close for same, close in near if not same]
        genuine = [close for same, close in near if same]
        assert (group.impostors, group.genuine, group.people) == (len(strangers), len(genuine), named.count(name))
        assert group.fmr.value == pytest.approx(np.mean(strangers))
        assert group.fnmr.value == pytest.approx(1 - np.mean(genuine))
    rates = [group.fmr.value for group in found.groups.values()]
    assert found.fmr_ratio == pytest.approx(max(rates) / min(rates))
    with pytest.raises(InvalidRequest, match="two groups"):
        groups.differentials(everybody(vectors, person), ["a"] * PEOPLE, {"point": 0.9}, drawn)


def failures__should_be_counted_apart(made: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, person = made
    usable = np.arange(len(person)) % 5 > 0
    found = comparisons.compare(
        vectors[usable], person[usable], *[np.ones(int(usable.sum()), np.bool_)] * 2, farthest=1.0
    )
    every = np.ones(len(person), np.bool_)
    attempted = comparisons.counted(person, every, every)
    point = report.point(found, 0.9, intervals.draws(PEOPLE, resamples=20), attempted)
    pairs = list(itertools.combinations(range(len(person)), 2))
    close = {pair: bool(np.linalg.norm(vectors[pair[0]] - vectors[pair[1]]) <= 0.9) for pair in pairs}
    genuine = [pair for pair in pairs if person[pair[0]] == person[pair[1]]]
    captured = [pair for pair in genuine if usable[pair[0]] and usable[pair[1]]]
    assert point.fnmr.value == pytest.approx(1 - np.mean([close[pair] for pair in captured]))
    assert point.false_reject_rate == pytest.approx(1 - sum(close[pair] for pair in captured) / len(genuine))
    assert point.false_accept_rate == pytest.approx(point.false_matches / (len(pairs) - len(genuine)))
