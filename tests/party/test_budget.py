"""A budget allows exactly so many attempts at once, gives them back evenly, and is one decision for all that a request takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard.v1 import common_pb2

from services.common.errors import ResourceExhausted
from services.party.budget import _MANY, Buckets, Budget, Budgets, Charge
from services.party.store.base import Name

Operation = common_pb2.Operation
NOW = 1_790_000_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND


def spent(buckets: Buckets, charges: list[Charge], now: int, most: int = 10_000) -> int:
    """How many attempts go through one after another."""
    for count in range(most):
        try:
            buckets.spend(charges, now)
        except ResourceExhausted:
            return count
    return most


def asked(operation: int, subject: str = "", **fields: object) -> common_pb2.Request:
    return common_pb2.Request(operation=operation, subject=subject, model="face", **fields)  # type: ignore[arg-type]


@given(st.integers(1, 500), st.integers(1, 86400))
def full_bucket__should_allow_exactly_its_attempts(attempts: int, seconds: int) -> None:
    charge = Charge(b"k", Budget("", attempts, seconds))
    assert spent(Buckets(), [charge], NOW) == attempts


@given(st.lists(st.integers(0, HOUR), max_size=60))
def two_windows__should_never_see_more_than_three_times_the_attempts(steps: list[int]) -> None:
    """A burst, and what comes back meanwhile: in any stretch of time at most attempts * (1 + stretch / window)."""
    charge, buckets, now, through = Charge(b"k", Budget("", 5, 3600)), Buckets(), NOW, list[int]()
    for step in steps:
        now += step
        through += [now] * spent(buckets, [charge], now, 7)
    for start in through:
        within = sum(start <= at < start + 2 * HOUR for at in through)
        assert within <= 3 * 5


def used_up_budget__should_say_when_to_come_back_and_be_right() -> None:
    charge, buckets = Charge(b"k", Budget("at this subject", 10, 3600)), Buckets()
    assert spent(buckets, [charge], NOW) == 10
    with pytest.raises(ResourceExhausted, match=r"at this subject: 10 within 3600 s") as caught:
        buckets.spend([charge], NOW)
    assert caught.value.retry_after == 360
    assert spent(buckets, [charge], NOW + 360 * SECOND - 1) == 0
    assert spent(buckets, [charge], NOW + 360 * SECOND) == 1
    assert spent(buckets, [charge], NOW + 2 * HOUR) == 10


def refusal_by_one_bucket__should_take_nothing_from_the_others() -> None:
    buckets, tight, wide = Buckets(), Charge(b"t", Budget("", 1, 60)), Charge(b"w", Budget("", 5, 60))
    buckets.spend([wide, tight], NOW)
    assert spent(buckets, [wide, tight], NOW) == 0
    assert spent(buckets, [wide], NOW) == 4


def clock_that_went_back__should_cost_a_window_at_most() -> None:
    charge, buckets = Charge(b"k", Budget("", 10, 60)), Buckets({b"k": NOW + 365 * 24 * HOUR})
    with pytest.raises(ResourceExhausted) as caught:
        buckets.spend([charge], NOW)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after <= 60


def full_buckets__should_be_forgotten() -> None:
    buckets, budget = Buckets(), Budget("", 1, 1)
    for k in range(10 * _MANY):
        buckets.spend([Charge(k.to_bytes(4, "big"), budget)], NOW + k * SECOND)
    assert len(buckets.full_at) <= 2 * _MANY + 1


RULES = Budgets(subject=10, gallery=20, caller=30, seconds=60)
ADA = [Name("a1", "ada", "face", 1), Name("a2", "ada", "face", 1)]


@pytest.mark.parametrize(
    ("request_", "limits"),
    [
        (asked(Operation.OPERATION_VERIFY, "ada"), [10, 10, 30]),
        (asked(Operation.OPERATION_IDENTIFY), [20, 30]),
        (asked(Operation.OPERATION_COMPARE), [30]),
        (asked(Operation.OPERATION_RUN), [30]),
        (asked(Operation.OPERATION_ENROL, "ada", unique=True), [20, 30]),
        (asked(Operation.OPERATION_ENROL, "ada"), []),
        (asked(Operation.OPERATION_DELETE, "ada"), []),
        (asked(Operation.OPERATION_PUBLISH), []),
    ],
)
def request__should_take_from_these_buckets(request_: common_pb2.Request, limits: list[int]) -> None:
    assert [charge.budget.attempts for charge in RULES.charges(request_, "enroller/a", ADA)] == limits


def unique_enrolment__should_take_an_attempt_for_each_photo() -> None:
    request_ = asked(Operation.OPERATION_ENROL, "ada", unique=True)
    request_.images = 3
    gallery = RULES.charges(request_, "enroller/a", ADA)[0]
    assert gallery.times == 3
    assert spent(Buckets(), [gallery], 0) == 20 // 3
    request_.images = 16
    few = Budgets(subject=1, gallery=5, caller=1, seconds=60)
    assert spent(Buckets(), few.charges(request_, "enroller/a", ADA), 0) == 1  # all that the buckets hold


def renamed_subject__should_not_begin_anew() -> None:
    verify, renamed = (asked(Operation.OPERATION_VERIFY, name) for name in ("ada", "eve"))
    rows = [Name("a1", "eve", "face", 2)]
    assert RULES.charges(renamed, "enroller/a", rows)[0].key == RULES.charges(verify, "enroller/a", ADA)[0].key


def buckets__should_differ_by_reference_model_and_caller_and_name_nobody() -> None:
    identify = asked(Operation.OPERATION_IDENTIFY)
    keys = [charge.key for charge in RULES.charges(asked(Operation.OPERATION_VERIFY, "ada"), "enroller/a", ADA)]
    keys += [charge.key for charge in RULES.charges(identify, "enroller/b", ADA)]
    identify.model = "other"
    keys += [charge.key for charge in RULES.charges(identify, "enroller/b", ADA)][:1]
    assert len(set(keys)) == len(keys) == 6
    assert not any(b"ada" in key or b"enroller" in key for key in keys)


def budget_of_nothing__should_be_no_limit() -> None:
    free = Budgets(subject=0, gallery=0, caller=0, seconds=60)
    assert free.charges(asked(Operation.OPERATION_VERIFY, "ada"), "enroller/a", ADA) == []
