"""After warming there is no kernel left that the first request would have to wait for."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import asyncio, importlib, json, pkgutil, sys
from numba.core.registry import CPUDispatcher
from visard_engine import kernels
from visard_engine.warm import warm
asyncio.run(warm(31))
found = {}
for info in pkgutil.iter_modules(kernels.__path__, kernels.__name__ + "."):
    for name, value in vars(importlib.import_module(info.name)).items():
        if isinstance(value, CPUDispatcher) and value.py_func.__module__ == info.name:
            found[f"{info.name}.{name}"] = value
ready = {name for name, value in found.items() if value.signatures or value.targetoptions.get("inline") == "always"}
names = {id(value): name for name, value in found.items()}
todo = list(ready)
while todo:  # one that another calls is a part of it
    function = found[todo.pop()].py_func
    called = {names.get(id(function.__globals__.get(name))) for name in function.__code__.co_names} - ready - {None}
    ready |= called
    todo += called
json.dump({name: name in ready for name in found}, sys.stdout)
"""


def warming__should_reach_every_kernel() -> None:
    """In a process of its own: there a kernel has signatures when it was called, compiled just now or read from the cache."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=250, check=True, env=environment
    )
    reached = json.loads(done.stdout)
    assert len(reached) > 10
    assert [name for name, ready in reached.items() if not ready] == []
