"""What emits a layer or a function, and which of its arguments it knows: no other one is passed over in silence."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from torch import fx, nn

from visard_engine.nn.lowering.builder import Builder

Emit = Callable[[Builder, fx.Node], int]

REST = "*"  # any number of further positions


@dataclass(frozen=True)
class Emitter:
    """``emit`` reads ``arguments``, by torch's names in torch's order; those of ``only`` may have that one value.

    Of a layer they are what its class is made with; those that matter in training only count as read.
    """

    emit: Emit
    arguments: tuple[str, ...]
    only: Mapping[str, Any]

    def check_call(self, builder: Builder, node: fx.Node) -> None:
        """Refuse a function's call with an argument that is not known; raises UnsupportedLayer."""
        names = (*self.arguments, *self.only)
        if len(node.args) > len(names) and REST not in names:
            raise builder.refuse(node, f"{builder.kind(node)} with {len(node.args)} arguments, at most {len(names)}")
        given = dict(zip(names, node.args, strict=False)) | node.kwargs
        for name, value in given.items():
            self._check(builder, node, name, value, known=name in names)

    def check_layer(self, builder: Builder, node: fx.Node, layer: nn.Module) -> None:
        """Refuse a layer that was made with an argument that is not known; raises UnsupportedLayer."""
        if len(node.args) != 1 or node.kwargs:
            raise builder.refuse(node, f"{builder.kind(node)} called with more than one value")
        for name in (*self.arguments, *self.only):
            if hasattr(layer, name):
                self._check(builder, node, name, getattr(layer, name), known=True)

    def _check(self, builder: Builder, node: fx.Node, name: str, value: Any, *, known: bool) -> None:
        what = builder.kind(node)
        if not known:
            raise builder.refuse(node, f"{what} with {name}: this argument is not supported")
        if name in self.only and value != self.only[name]:
            raise builder.refuse(node, f"{what} with {name}={value}, only {name}={self.only[name]}")
        if not all(map(isfinite, _floats(value))):
            raise builder.refuse(node, f"{what} with {name}={value}: finite numbers are needed")


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _floats(part)


def known(emit: Emit, arguments: str, **only: Any) -> Emitter:
    """An emitter, its arguments' names separated by spaces."""
    return Emitter(emit, tuple(arguments.split()), only)


@dataclass(frozen=True)
class Emitters:
    """What emits a layer, by its class, and a function or method, by itself or its name; nothing else is compiled."""

    modules: Mapping[type[nn.Module], Emitter]
    functions: Mapping[Any, Emitter]

    def emit(self, builder: Builder, node: fx.Node) -> int:
        """Emit a node's operations; the number of its value. Raises UnsupportedLayer."""
        return self._find(builder, node)(builder, node)

    def _find(self, builder: Builder, node: fx.Node) -> Emit:
        layer = builder.layer(node)
        # of exactly this class: one derived from it may compute something else
        found = self.modules.get(type(layer)) if layer is not None else self.functions.get(node.target)
        if found is None:
            raise builder.refuse(
                node, f"{builder.kind(node)} is not supported; docs/models.md lists the layers that are"
            )
        if layer is not None:
            found.check_layer(builder, node, layer)
        else:
            found.check_call(builder, node)
        return found.emit
