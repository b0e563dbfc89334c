"""A budget allows exactly so many attempts at once, gives them back evenly, and is one decision for all that a request takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard_common.errors import InvalidArgument, ResourceExhausted
from visard_party.budgets.budget import _MANY, RISK, Buckets, Budget, Budgets, Charge
from visard_party.store.contents import Name
from visard_wire.v1 import common_pb2

Operation = common_pb2.Operation
NOW = 1_790_000_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND


def taken(key: bytes, budget: Budget, rate: float | None = None) -> Charge:
    """One attempt."""
    return Charge(key, budget, budget.cost(rate))


def spent(buckets: Buckets, charges: list[Charge], now: int, most: int = 10_000) -> int:
    """How many attempts go through one after another."""
    for count in range(most):
        try:
            buckets.spend(charges, now)
        except ResourceExhausted:
            return count
    return most


def asked(operation: int, subject: str = "", **fields: object) -> common_pb2.Request:
    images = 1 if operation == Operation.OPERATION_IDENTIFY else 0
    return common_pb2.Request(operation=operation, subject=subject, model="face", **({"images": images} | fields))  # type: ignore[arg-type]


@given(st.integers(1, 500), st.integers(1, 86400))
def full_bucket__should_allow_exactly_its_attempts(attempts: int, seconds: int) -> None:
    charge = taken(b"k", Budget("", attempts, seconds))
    assert spent(Buckets(), [charge], NOW) == attempts


@given(st.lists(st.integers(0, HOUR), max_size=60))
def two_windows__should_never_see_more_than_three_times_the_attempts(steps: list[int]) -> None:
    """A burst, and what comes back meanwhile: in any stretch of time at most attempts * (1 + stretch / window)."""
    charge, buckets, now, through = taken(b"k", Budget("", 5, 3600)), Buckets(), NOW, list[int]()
    for step in steps:
        now += step
        through += [now] * spent(buckets, [charge], now, 7)
    for start in through:
        within = sum(start <= at < start + 2 * HOUR for at in through)
        assert within <= 3 * 5


def used_up_budget__should_say_when_to_come_back_and_be_right() -> None:
    charge, buckets = taken(b"k", Budget("at this subject", 10, 3600)), Buckets()
    assert spent(buckets, [charge], NOW) == 10
    with pytest.raises(ResourceExhausted, match=r"at this subject: 10 within 3600 s") as caught:
        buckets.spend([charge], NOW)
    assert caught.value.retry_after == 360
    assert spent(buckets, [charge], NOW + 360 * SECOND - 1) == 0
    assert spent(buckets, [charge], NOW + 360 * SECOND) == 1
    assert spent(buckets, [charge], NOW + 2 * HOUR) == 10


def refusal_by_one_bucket__should_take_nothing_from_the_others() -> None:
    buckets, tight, wide = Buckets(), taken(b"t", Budget("", 1, 60)), taken(b"w", Budget("", 5, 60))
    buckets.spend([wide, tight], NOW)
    assert spent(buckets, [wide, tight], NOW) == 0
    assert spent(buckets, [wide], NOW) == 4


def clock_that_went_back__should_cost_a_window_at_most() -> None:
    charge, buckets = taken(b"k", Budget("", 10, 60)), Buckets({b"k": NOW + 365 * 24 * HOUR})
    with pytest.raises(ResourceExhausted) as caught:
        buckets.spend([charge], NOW)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after <= 60


def full_buckets__should_be_forgotten() -> None:
    buckets, budget = Buckets(), Budget("", 1, 1)
    for k in range(10 * _MANY):
        buckets.spend([taken(k.to_bytes(4, "big"), budget)], NOW + k * SECOND)
    assert len(buckets.full_at) <= 2 * _MANY + 1


RULES = Budgets(subject=10, gallery=20, search=15, caller=30, seconds=60, enrolments=40)
DERIVED = Budgets(subject=None, gallery=None, search=None, caller=0, seconds=3600)
ADA = [Name("a1", "ada", "face", 1), Name("a2", "ada", "face", 1)]


@pytest.mark.parametrize(
    ("request_", "limits"),
    [
        (asked(Operation.OPERATION_VERIFY, "ada"), [10, 10, 30]),
        (asked(Operation.OPERATION_MIGRATE, "ada"), [10, 10, 30, 40]),
        (asked(Operation.OPERATION_IDENTIFY), [20, 15, 30, 10]),
        (asked(Operation.OPERATION_COMPARE), [30]),
        (asked(Operation.OPERATION_RUN), [30]),
        (asked(Operation.OPERATION_ENROL, "ada", unique=True), [20, 15, 30, 10, 40]),
        (asked(Operation.OPERATION_ENROL, "ada"), [40]),
        (asked(Operation.OPERATION_DELETE, "ada"), []),
        (asked(Operation.OPERATION_PUBLISH), []),
    ],
)
def request__should_take_from_these_buckets(request_: common_pb2.Request, limits: list[int]) -> None:
    assert [one.budget.attempts for one in RULES.charges(request_, "enroller/a", ADA, 1e-3)] == limits


def unique_enrolment__should_take_an_attempt_for_each_photo() -> None:
    request_ = asked(Operation.OPERATION_ENROL, "ada", unique=True)
    request_.images = 3
    gallery = RULES.charges(request_, "enroller/a", ADA, None)[0]
    assert gallery.times == 3
    assert spent(Buckets(), [gallery], NOW) == 20 // 3
    request_.images = 16
    few = Budgets(subject=1, gallery=5, search=5, caller=1, seconds=60)
    with pytest.raises(InvalidArgument, match=r"request\.images: at most 5"):
        Buckets().spend(few.charges(request_, "enroller/a", ADA, None), NOW)


@pytest.mark.parametrize(("rate", "attempts"), [(1e-3, 10), (1e-4, 100), (1e-5, 1005), (2e-3, 5), (0.5, 1), (None, 1)])
def budget_of_risk__should_let_a_stranger_pass_once_in_a_hundred(rate: float | None, attempts: int) -> None:
    """However many attempts it lets through: the chance of one false match among them is at most 1 %, and nearly that."""
    assert DERIVED.at_subject.allowed(rate) == attempts
    assert spent(Buckets(), DERIVED.charges(asked(Operation.OPERATION_VERIFY), "c", ADA[:1], rate), NOW) == attempts
    if rate is not None and rate <= RISK:
        assert 1 - (1 - rate) ** attempts <= RISK < 1 - (1 - rate) ** (attempts + 1)


@given(st.lists(st.sampled_from([1e-2, 1e-3, 3e-4, 1e-4, 1e-5]), min_size=1, max_size=400))
def mixed_points__should_not_exceed_the_risk_together(rates: list[float]) -> None:
    buckets, missed = Buckets(), 1.0
    for rate in rates:
        try:
            buckets.spend(DERIVED.charges(asked(Operation.OPERATION_VERIFY), "c", ADA[:1], rate), NOW)
        except ResourceExhausted:
            continue
        missed *= 1 - rate
    assert 1 - missed <= RISK + 1e-12


def subject_with_several_references__should_be_asked_as_many_times_fewer() -> None:
    """Each of them is compared with: the union bound."""
    verify = asked(Operation.OPERATION_VERIFY)
    assert spent(Buckets(), DERIVED.charges(verify, "c", ADA, 1e-3), NOW) == 5


def searches__should_count_at_every_subject_they_compare_with() -> None:
    """With some attempts left, identify no longer gives ten thousand answers about the same face."""
    buckets, identify, verify = Buckets(), asked(Operation.OPERATION_IDENTIFY), asked(Operation.OPERATION_VERIFY)
    searched = spent(buckets, DERIVED.charges(identify, "enroller/a", [], 1e-3), NOW)
    assert searched == 5, "one caller's half"
    assert spent(buckets, DERIVED.charges(verify, "enroller/a", ADA[:1], 1e-3), NOW) == 5, "the rest of ten"
    assert spent(buckets, DERIVED.charges(identify, "enroller/a", [], 1e-3), NOW) == 0
    assert spent(buckets, DERIVED.charges(identify, "enroller/b", [], 1e-3), NOW) == 5, "all callers' ten"
    assert spent(buckets, DERIVED.charges(identify, "enroller/c", [], 1e-3), NOW) == 0


def subject_that_is_used_up__should_not_stop_searches() -> None:
    """Or anybody could be made not to be found."""
    buckets = Buckets()
    assert spent(buckets, DERIVED.charges(asked(Operation.OPERATION_VERIFY), "c", ADA[:1], 1e-3), NOW) == 10
    assert spent(buckets, DERIVED.charges(asked(Operation.OPERATION_IDENTIFY), "c", ADA, 1e-3), NOW) == 5


def renamed_subject__should_not_begin_anew() -> None:
    verify, renamed = (asked(Operation.OPERATION_VERIFY, name) for name in ("ada", "eve"))
    rows = [Name("a1", "eve", "face", 2)]
    first, second = (RULES.charges(*case, 1e-3)[0] for case in ((renamed, "c", rows), (verify, "c", ADA)))
    assert first.key == second.key


def buckets__should_differ_by_reference_model_and_caller_and_name_nobody() -> None:
    identify = asked(Operation.OPERATION_IDENTIFY)
    keys = [one.key for one in RULES.charges(asked(Operation.OPERATION_VERIFY, "ada"), "enroller/a", ADA, None)]
    keys += [one.key for one in RULES.charges(identify, "enroller/b", ADA, None)]
    identify.model = "other"
    keys += [one.key for one in RULES.charges(identify, "enroller/b", ADA, None)][:2]
    keys += [one.key for one in RULES.charges(asked(Operation.OPERATION_ENROL, "ada"), "enroller/a", [], None)]
    assert len(set(keys)) == len(keys) == 10
    assert not any(b"ada" in key or b"enroller" in key for key in keys)


def budget_of_nothing__should_be_no_limit() -> None:
    free = Budgets(subject=0, gallery=0, search=0, caller=0, seconds=60)
    for operation in (Operation.OPERATION_VERIFY, Operation.OPERATION_IDENTIFY, Operation.OPERATION_ENROL):
        assert free.charges(asked(operation, "ada"), "enroller/a", ADA, None) == []
