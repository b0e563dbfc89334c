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
            inlined = value.targetoptions.get("inline") == "always"
            found[f"{info.name}.{name}"] = inlined or bool(value.signatures)
json.dump(found, sys.stdout)
"""


def warming__should_compile_every_kernel() -> None:
    """Or find it in Numba's cache: one that it does not call has no signature in either case."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=250, check=True, env=environment
    )
    compiled = json.loads(done.stdout)
    assert len(compiled) > 10
    assert [name for name, ready in compiled.items() if not ready] == []
