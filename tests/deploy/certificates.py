"""The program of the try overlay that keeps its Secrets, and a place for them without a cluster."""

import importlib.util
from pathlib import Path
from types import ModuleType

from tests.deploy.manifests import K8S


def program(folder: Path) -> ModuleType:
    """The program, with a folder to work in."""
    spec = importlib.util.spec_from_file_location("certificates", K8S / "overlays" / "try" / "certificates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update(MADE=folder)
    return module


class Shelf:
    """Secrets in memory, with the versions that a cluster would give them."""

    def __init__(self) -> None:
        self.data: dict[str, dict[str, bytes]] = {}
        self.versions: dict[str, int] = {}

    def read(self, name: str) -> tuple[dict[str, bytes], str] | None:
        """Contents and version, or None."""
        return (dict(self.data[name]), str(self.versions[name])) if name in self.data else None

    def create(self, name: str, data: dict[str, bytes]) -> bool:
        """Keep a new one."""
        return name not in self.data and self._put(name, data)

    def replace(self, name: str, data: dict[str, bytes], version: str) -> bool:
        """Replace one that has this version."""
        return name in self.data and str(self.versions[name]) == version and self._put(name, data)

    def _put(self, name: str, data: dict[str, bytes]) -> bool:
        self.data[name] = data
        self.versions[name] = self.versions.get(name, 0) + 1
        return True
