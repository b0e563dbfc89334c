"""From a module to a graph of layers and functions, with changes in place as torch makes them.

A graph of torch.fx forgets that ``y += x`` changes y for everybody who holds it, and the compiler knows values only, no
memory. So every later reader of what was changed in place is made to read the result: then a graph without memory
computes the same. Where memory is also seen in another shape (a flattened view) that is refused instead.
"""

import operator
from typing import Any

from torch import fx, nn
from torch.nn import functional

from visard_engine.nn.errors import UnsupportedLayer
from visard_engine.nn.prepare import first_line

_IN_PLACE = ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "imatmul")
_SAME: tuple[type[nn.Module], ...] = (nn.Identity, nn.Dropout, nn.Dropout2d)  # at inference they return what they got
_VIEWS = ("flatten", "view", "reshape", "contiguous")


class _Proxy(fx.Proxy):
    """One that records ``y += x`` as it is; torch.fx records y + x."""


def _record(name: str) -> Any:
    def method(self: _Proxy, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", getattr(operator, name), (self, other), {})

    return method


for _name in _IN_PLACE:
    setattr(_Proxy, f"__{_name}__", _record(_name))


class _Tracer(fx.Tracer):
    """See _Proxy."""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """See fx.Tracer."""
        return _Proxy(node, self)


def traced(module: nn.Module) -> fx.GraphModule:
    """The graph of a prepared module; raises UnsupportedLayer."""
    try:
        tracer = _Tracer()
        graph = tracer.trace(module)
        found = fx.GraphModule(tracer.root, graph, type(module).__name__)
    except (fx.proxy.TraceError, TypeError) as error:
        why = f"its forward depends on data: {first_line(error)}"
        raise UnsupportedLayer(f"{type(module).__name__}: {why}") from error
    except Exception as error:  # the forward is the owner's code
        raise UnsupportedLayer(f"{type(module).__name__}: its forward fails: {first_line(error)}") from error
    _read_what_was_changed(found)
    return found


def layer_of(module: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module that a node calls, or None."""
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None


def place_of(node: fx.Node) -> str:
    """Where a node stands in the module: the layer's path, or the function's name and the module that calls it."""
    if node.op == "call_module":
        return str(node.target)
    stack = [path for path in node.meta.get("nn_module_stack", {}) if path]
    return f"{stack[-1]} ({node.name})" if stack else node.name


def kind_of(module: nn.Module, node: fx.Node) -> str:
    """The layer's class, or the function's name."""
    layer = layer_of(module, node)
    return type(layer).__name__ if layer is not None else str(getattr(node.target, "__name__", node.target))


def is_shape(node: fx.Node) -> bool:
    """Whether a node asks for a size only: x.size(0), x.shape[0]."""
    if node.target == "size" or (node.target is getattr and node.args[1] == "shape"):
        return True
    first = node.args[0] if node.args else None
    return getattr(node.target, "__name__", "") == "getitem" and isinstance(first, fx.Node) and is_shape(first)


def changes(module: nn.Module, node: fx.Node) -> bool:
    """Whether a node changes its first operand in place."""
    layer = layer_of(module, node)
    if layer is not None:
        return bool(getattr(layer, "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if node.op not in ("call_function", "call_method"):
        return False
    if name in _IN_PLACE and node.target is getattr(operator, name, None):
        return True
    return (name.endswith("_") and not name.endswith("__")) or bool(node.kwargs.get("inplace", False))


def _read_what_was_changed(found: fx.GraphModule) -> None:
    order = {node: k for k, node in enumerate(found.graph.nodes)}
    memory: dict[
        fx.Node, tuple[fx.Node, fx.Node]
    ] = {}  # whose memory a node's tensor is, and as whose shape it is seen
    for node in order:
        memory[node] = _memory_of(found, node, memory)
        if changes(found, node) and memory[node][0] is not node:
            _redirect(found, node, memory, order)


def _memory_of(
    found: fx.GraphModule, node: fx.Node, memory: dict[fx.Node, tuple[fx.Node, fx.Node]]
) -> tuple[fx.Node, fx.Node]:
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node) or node.op == "output":
        return node, node
    layer = layer_of(found, node)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if changes(found, node) or isinstance(layer, _SAME) or node.target is functional.dropout:
        return memory[source]
    if isinstance(layer, nn.Flatten) or name in _VIEWS:
        return memory[source][0], node
    return node, node


def _redirect(
    found: fx.GraphModule,
    node: fx.Node,
    memory: dict[fx.Node, tuple[fx.Node, fx.Node]],
    order: dict[fx.Node, int],
) -> None:
    """Make the later readers of the memory that a node changes read the node."""
    base, shape = memory[node]
    for alias in [other for other in memory if other is not node and memory[other][0] is base]:
        readers = [user for user in alias.users if order[user] > order[node] and not is_shape(user)]
        if readers and memory[alias][1] is not shape:
            why = f"changes in place what {place_of(readers[0])} reads in another shape; take the copying form"
            raise UnsupportedLayer(f"{place_of(node)}: {kind_of(found, node)} {why}")
        for reader in readers:
            reader.replace_input_with(alias, node)
