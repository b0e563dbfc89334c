"""Error rates are those of their definitions: on cases done by hand, and against slow loops on random distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard.owner.evaluation import metrics
from visard.owner.evaluation.intervals import Listed, draws

HAND = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.5, 0.7, 0.8])
KIND = np.array([True, True, True, True, False, False, False, False])
# distances with ties, two pairs of each kind at least
CASES = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=30).map(
    lambda rows: (
        np.array([float(d) for d, _ in rows] + [1.0, 5.0, 4.0, 9.0]) / 4,
        np.array([s for _, s in rows] + [True, True, False, False]),
    )
)


def best_threshold__should_be_the_middle_of_the_best_interval() -> None:
    assert metrics.best_threshold(HAND, KIND) == pytest.approx(0.35)
    assert metrics.accuracy(HAND, KIND, 0.35) == 7 / 8


def best_threshold__should_refuse_everything_where_that_is_best() -> None:
    distances, same = np.array([1.0, 2.0, 3.0]), np.array([False, False, True])
    assert metrics.best_threshold(distances, same) < 1


def equal_error_rate__should_be_where_the_rates_cross() -> None:
    assert metrics.equal_error_rate(HAND, KIND) == pytest.approx(0.25)
    assert metrics.equal_error_rate(np.array([1.0, 2.0]), np.array([True, False])) == 0
    assert metrics.equal_error_rate(np.array([2.0, 1.0]), np.array([True, False])) == 1


def tar__should_be_taken_where_few_enough_impostors_match() -> None:
    assert metrics.tar_at_far(HAND, KIND, 0.0) == 3 / 4
    assert metrics.tar_at_far(HAND, KIND, 0.25) == 3 / 4
    assert metrics.tar_at_far(HAND, KIND, 0.5) == 1
    assert metrics.tar_at_far(HAND, KIND, 1.0) == 1


def folds__should_be_runs_of_each_kind() -> None:
    same = np.array([True] * 4 + [False] * 4)
    assert metrics.folds(same, 2).tolist() == [0, 0, 1, 1, 0, 0, 1, 1]


def fold_decisions__should_not_see_their_own_fold() -> None:
    # the second fold alone would put its threshold at 11; it is judged with the first one's 1.5
    distances = np.array([1.0, 10.0, 2.0, 12.0])
    same = np.array([True, True, False, False])
    fold = np.array([0, 1, 0, 1])
    assert metrics.fold_decisions(distances, same, fold).tolist() == [True, False, True, False]


@given(CASES)
def best_threshold__should_beat_every_other(case: tuple[np.ndarray, np.ndarray]) -> None:
    distances, same = case
    others = [-1.0, *distances, *(distances + 1e-6)]
    best = max(metrics.accuracy(distances, same, t) for t in others)
    assert metrics.accuracy(distances, same, metrics.best_threshold(distances, same)) == pytest.approx(best)


@given(CASES)
def curve__should_count_pairs_at_every_threshold(case: tuple[np.ndarray, np.ndarray]) -> None:
    distances, same = case
    found = metrics.curve(distances, same)
    for threshold, far, tar in zip(found.thresholds, found.far, found.tar, strict=True):
        impostors, genuine = distances[~same].tolist(), distances[same].tolist()
        assert far == sum(d <= threshold for d in impostors) / len(impostors)
        assert tar == sum(d <= threshold for d in genuine) / len(genuine)
    assert (found.far[-1], found.tar[-1]) == (1, 1)


@given(CASES, st.floats(0, 1))
def far__should_stay_below_the_rate_and_use_it(case: tuple[np.ndarray, np.ndarray], rate: float) -> None:
    distances, same = case
    impostors = distances[~same]
    threshold = metrics.threshold_at_far(impostors, rate)
    assert (impostors <= threshold).mean() <= rate + 1e-9
    larger = impostors[impostors > threshold]
    if larger.size:  # the next larger distance would be too many
        assert (impostors <= larger.min()).mean() > rate - 1e-9


@given(CASES)
def equal_error_rate__should_lie_between_the_rates_around_it(case: tuple[np.ndarray, np.ndarray]) -> None:
    distances, same = case
    found = metrics.equal_error_rate(distances, same)
    pairs = [((distances[~same] <= t).mean(), (distances[same] > t).mean()) for t in [-1.0, *np.unique(distances)]]
    assert max(min(far, frr) for far, frr in pairs) - 1e-9 <= found <= min(max(far, frr) for far, frr in pairs) + 1e-9


def figure__should_be_drawn_by_person() -> None:
    """Genuine N(0, 1), impostors N(2, 1), nobody in two pairs: at threshold 1 the accuracy is Phi(1) = 0.8413."""
    rng = np.random.default_rng(3)
    same, people = np.repeat([True, False], 100), np.arange(300)
    first = np.concatenate([people[:100], people[100:200]])
    second = np.concatenate([people[:100], people[200:]])
    covered = [0, 0]
    for k in range(60):
        listed = Listed(first, second, draws(300, seed=k, resamples=100))
        scores = rng.normal(np.where(same, 0, 2), 1)
        found = listed.figure(lambda s, kind: metrics.accuracy(s, kind, 1.0), scores, same)
        share = listed.share((scores <= 1) == same)
        assert found.value == share.value == ((scores <= 1) == same).mean()
        covered[0] += found.low <= 0.8413 <= found.high
        covered[1] += share.low <= 0.8413 <= share.high
    assert min(covered) >= 50


def pairs__should_be_drawn_with_their_people() -> None:
    listed = Listed(np.array([0, 0, 1]), np.array([0, 1, 2]), np.array([[2, 3, 0]]))
    assert listed.weights(0).tolist() == [2, 6, 0]
    assert listed.of(np.array([True, False, True])).weights(0).tolist() == [2, 0]
