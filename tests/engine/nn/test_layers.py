"""The lists are closed: every layer on its list is documented, every operation on its own, and no forward may depend on data."""

import re
from inspect import isabstract
from pathlib import Path
from types import ModuleType

import pytest
from visard_engine.nn.lowering.emitters import EMITTERS
from visard_engine.nn.operations import OPERATIONS, activations, arithmetic, norm, pooling, weighted
from visard_engine.nn.operations.base import Interactive, Local, Operation

from tests.engine.nn.layers import Entry, Function, refuse_layer


def forward_that_depends_on_data__should_be_refused() -> None:
    refuse_layer(lambda: Entry(Function(lambda x: x if x.sum() > 0 else -x)), "forward depends on data")


def documentation__should_list_every_layer() -> None:
    text = (Path(__file__).parents[3] / "docs" / "models.md").read_text()
    missing = [kind.__name__ for kind in EMITTERS.modules if not re.search(rf"\b{kind.__name__}\b", text)]
    assert missing == []


@pytest.mark.parametrize("kind", [activations, arithmetic, norm, pooling, weighted])
def every_operation__should_be_on_the_list_under_its_name(kind: ModuleType) -> None:
    found = [op for op in vars(kind).values() if isinstance(op, type) and issubclass(op, Operation)]
    ready = [op for op in found if not isabstract(op)]
    assert ready
    assert [OPERATIONS.get(op.kind) for op in ready] == ready
    assert all(issubclass(op, Local) != issubclass(op, Interactive) for op in ready)
