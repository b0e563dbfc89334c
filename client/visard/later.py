"""Packages whose modules are loaded when they are used: what is heavy costs only those who need it."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType


def modules(package: str, *names: str) -> Callable[[str], ModuleType]:
    """A ``__getattr__`` for a package (PEP 562): its modules of these names are imported when they are used first.

    Using one raises ModuleNotFoundError where something that it needs is not installed: visard.extras says which extra has it.
    """

    def found(name: str) -> ModuleType:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    return found
