"""No module knows too many others of ours: what needs more is put together a room at a time (docs/architecture.md)."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 14


def _modules(home: Path) -> dict[str, Path]:
    """Every module below a package's parent, by its full name."""
    found = {".".join(file.relative_to(home).with_suffix("").parts): file for file in home.glob("visard*/**/*.py")}
    return {name.removesuffix(".__init__"): file for name, file in found.items()}


HOMES = [ROOT / "client", *(ROOT / "services").iterdir()]
MODULES = {name: file for home in HOMES for name, file in _modules(home).items()}
GENERATED = "visard_wire.v1"


def _imported(name: str) -> set[str]:
    """Which of our modules one imports, at whatever depth of its code."""
    found = set[str]()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= members & MODULES.keys() or {node.module}
    return (found & MODULES.keys()) - {name}


def module__should_import_few_of_ours() -> None:
    own = [name for name in MODULES if not name.startswith(GENERATED)]
    assert {name for name in own if len(_imported(name)) > MOST} == set()
