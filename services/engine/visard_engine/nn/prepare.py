"""A copy of a torch module for inference, with nothing in it that the compiler would overlook.

What acts beside a module's own forward is refused by name: hooks, forwards put on an instance, compiled and scripted code,
layers that stay in training. Weights that are computed from others (weight norm, spectral norm, pruning, any
parametrization) become what they are at inference.
"""

import copy
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from visard_engine.nn.errors import UnsupportedLayer

_DTYPES = (torch.float32, torch.float64)
_RECOMPUTE = (WeightNorm, SpectralNorm, BasePruningMethod)  # hooks that set a weight before each run


def prepared(module: nn.Module) -> nn.Module:
    """A copy on the CPU, in evaluation mode, its weights as they are there; raises UnsupportedLayer naming the part."""
    for name, part in module.named_modules():
        _check_kind(_named(name, part), part)
    with torch.no_grad():
        found = copied(module)
        for name, part in found.named_modules():
            _check_mode(_named(name, part), part)
        _materialise(found)
    for name, part in found.named_modules():
        _check_hooks(_named(name, part), part)
    for name, tensor in tensors(found):
        _check_numbers(name, tensor)
    return found


def copied(module: nn.Module) -> nn.Module:
    """A copy for inference that shares nothing with the module; raises UnsupportedLayer."""
    held = (value for part in module.modules() for value in vars(part).values() if isinstance(value, torch.Tensor))
    # weights that old hooks have computed; torch copies no tensor that has a history
    computed: dict[int, Any] = {id(value): value.detach().clone() for value in held if value.grad_fn is not None}
    try:
        return copy.deepcopy(module, computed).cpu().eval()
    except Exception as error:  # whatever a module keeps
        raise UnsupportedLayer(f"{type(module).__name__}: it cannot be copied: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Kind and beginning of what went wrong in code that is not ours."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def dtype_of(module: nn.Module) -> torch.dtype:
    """Of the images that a module takes: its own numbers', float32 if it has none."""
    return next((tensor.dtype for _, tensor in tensors(module) if tensor.is_floating_point()), torch.float32)


def tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers by qualified name."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def _named(name: str, part: nn.Module) -> str:
    return f"{name} ({type(part).__name__})" if name else type(part).__name__


def _check_kind(where: str, part: nn.Module) -> None:
    if isinstance(part, torch.jit.ScriptModule):
        raise UnsupportedLayer(f"{where}: scripted or traced code cannot be read; bring the module that it was made of")
    if "_orig_mod" in part._modules:
        raise UnsupportedLayer(f"{where}: torch.compile has wrapped it; bring the module that it was made of")
    for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
        if is_lazy(tensor):
            raise UnsupportedLayer(f"{where}: {name} is not initialised; run the module once, or load its weights")
        if tensor.is_meta:
            raise UnsupportedLayer(f"{where}: {name} is on the meta device, which holds no numbers; load its weights")


def _check_mode(where: str, part: nn.Module) -> None:
    if part.training:
        raise UnsupportedLayer(f"{where}: stays in training after eval()")


def _materialise(module: nn.Module) -> None:
    """Put computed weights where layers have theirs."""
    for name, part in list(module.named_modules()):
        try:
            _fix_weights(part)
        except Exception as error:  # a parametrization is the owner's code
            raise UnsupportedLayer(
                f"{_named(name, part)}: its weight cannot be computed: {first_line(error)}"
            ) from error


def _fix_weights(part: nn.Module) -> None:
    if parametrize.is_parametrized(part):
        _fix_parametrized(part)
    for key, hook in list(part._forward_pre_hooks.items()):
        if isinstance(hook, _RECOMPUTE):
            hook.remove(part)
            del part._forward_pre_hooks[key]


def _fix_parametrized(part: nn.Module) -> None:
    """As torch's remove_parametrizations, which would change the class that this copy shares with the original."""
    kind, lists = parametrize.type_before_parametrizations(part), cast(nn.ModuleDict, part.parametrizations)
    found = {name: getattr(part, name).detach().clone() for name in lists}
    secret = {name for name in lists if next(lists[name].parameters(recurse=False), None) is not None}
    del part.parametrizations
    part.__class__ = kind
    for name, value in found.items():
        if name in secret:
            part.register_parameter(name, nn.Parameter(value, requires_grad=False))
        else:
            part.register_buffer(name, value)


def _check_hooks(where: str, part: nn.Module) -> None:
    hooks = [*part._forward_pre_hooks.values(), *part._forward_hooks.values()]
    if hooks:
        name = getattr(hooks[0], "__qualname__", type(hooks[0]).__name__)
        raise UnsupportedLayer(f"{where}: the forward hook {name} could change what it computes; remove it")
    if "forward" in vars(part):
        raise UnsupportedLayer(f"{where}: its forward was replaced on the instance; write a class that has it")


def _check_numbers(name: str, tensor: torch.Tensor) -> None:
    if tensor.is_quantized or tensor.is_complex() or (tensor.is_floating_point() and tensor.dtype not in _DTYPES):
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UnsupportedLayer(f"{name}: numbers of type {kind}; float32 or float64 are compiled: module.float()")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise UnsupportedLayer(f"{name}: NaN or infinity among its numbers")
