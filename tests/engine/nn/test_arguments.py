"""No argument of a layer or function on the list is passed over: torch's own signatures, read here, have no other ones."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from visard_engine.nn.compile import compile_module
from visard_engine.nn.errors import UnsupportedLayer
from visard_engine.nn.lowering.emitter import REST
from visard_engine.nn.lowering.emitters import EMITTERS
from visard_engine.nn.program import OPEN

from tests.engine.nn.networks import images

SHAPE = (2, 4, 4)
PLACES = {"device", "dtype"}  # of a layer's parameters: checked with their numbers
HIDDEN = {functional.max_pool2d: functional.max_pool2d_with_indices}  # behind a dispatcher without a signature
ALIASES = {"self": "input", "size": REST, "shape": REST, "args": REST, "kwargs": REST}


def operators(name: str) -> Iterator[str]:
    """Arguments in all of torch's schemas of a name."""
    for space in ("aten", "_operator"):
        for schema in torch._C._jit_get_schemas_for_operator(f"{space}::{name}"):
            tensors = [a for a in schema.arguments if "Tensor" in str(a.type)]
            if tensors:  # others are of numbers and of lists
                yield from (ALIASES.get(a.name, a.name) for a in schema.arguments)


def arguments(function: Any) -> set[str]:
    """By torch's names."""
    if isinstance(function, str):
        return set(operators(function))
    try:
        found = inspect.signature(HIDDEN.get(function, function)).parameters
    except ValueError:  # a builtin
        return set(operators(function.__name__))
    return {ALIASES.get(name, name) for name in found}


FUNCTIONS = [
    f for f in EMITTERS.functions if getattr(f, "__module__", "") != "_operator"
]  # operators have two operands


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f if isinstance(f, str) else f.__name__)
def argument_that_is_not_known__should_be_refused(function: Any) -> None:
    emitter = EMITTERS.functions[function]
    found = arguments(function)
    assert found & {*emitter.arguments, *emitter.only} or emitter.arguments == ("tensors", "dim")

    class Calls(nn.Module):
        def __init__(self, **unknown: Any) -> None:
            super().__init__()
            self.unknown = unknown

        def forward(self, x: Tensor) -> Tensor:
            node = {"op": "call_method" if isinstance(function, str) else "call_function", "target": function}
            traced: Any = x
            made: Tensor = traced.tracer.create_proxy(*node.values(), (x,), self.unknown)
            return made

    for name in found - {*emitter.arguments}:
        with pytest.raises(UnsupportedLayer, match=rf"with {name}\b"):
            compile_module(
                Calls(**{name: 7}),
                SHAPE,
                q=31,
                calibration=images(1, SHAPE),
                operating_points={},
                purpose=OPEN,
            )


@pytest.mark.parametrize("kind", EMITTERS.modules, ids=lambda kind: kind.__name__)
def layer__should_have_no_other_arguments(kind: type[nn.Module]) -> None:
    emitter = EMITTERS.modules[kind]
    found = {p.name: p for p in inspect.signature(kind).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD}
    assert set(found) - PLACES <= {*emitter.arguments, *emitter.only}
    for name, value in emitter.only.items():
        assert found[name].default == value  # so that a layer as torch makes it is accepted
