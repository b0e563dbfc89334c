"""A test that would not run is an error: a hook of pytest, of a file of its own, which is quick to import."""

import inspect
from typing import Any


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> None:
    """A function that looks like a test and would not run ends the collection: nobody would miss it."""
    looks = name.startswith("test_") or "_should_" in name
    if looks and inspect.isfunction(obj) and not collector.funcnamefilter(name):
        raise collector.CollectError(f"{name} would not run: tests are named subject__should_outcome")
