"""What belongs to the engine, of which the client imports nothing: it is found as an entry point, and an owner installs both."""

from importlib.metadata import entry_points
from typing import Any

from visard.errors import InvalidRequest


def compiler(name: str = "torch") -> Any:
    """The installed compiler; raises InvalidRequest that says how to get it."""
    for point in entry_points(group="visard.compilers", name=name):
        return point.load()
    raise InvalidRequest("publishing needs the compiler: pip install 'visard[owner]'")
