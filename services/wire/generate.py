"""``python services/wire/generate.py``: visard_wire.v1 from protos/; with ``--check`` only fail where it differs.

protoc takes a module's name from its file's path, which is the package's of the messages: visard/v1. In Python they belong to
visard_wire, so the imports among them are changed.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = Path(__file__).parent / "visard_wire" / "v1"
KINDS = ("python", "grpc_python", "mypy", "mypy_grpc")
_IMPORT = re.compile(r"\bvisard\.v1(?= import |\.\w+_pb2)")


def main() -> None:
    """Write the modules, or compare them."""
    fresh, held = generated(), {path.name: path.read_text() for path in HOME.glob("*_pb2*")}
    if "--check" not in sys.argv:
        for name in held.keys() - fresh.keys():
            (HOME / name).unlink()
        for name, text in fresh.items():
            (HOME / name).write_text(text)
    elif stale := sorted(name for name in fresh | held if fresh.get(name) != held.get(name)):
        sys.exit(f"stale modules, run make proto: {', '.join(stale)}")


def generated() -> dict[str, str]:
    """What protoc and its plugins make of protos/: a module's file name to its text."""
    protos = sorted(str(path) for path in (ROOT / "protos" / "visard" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as directory:
        outputs = [f"--{kind}_out={directory}" for kind in KINDS]
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'protos'}", *outputs, *protos]
        path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}  # the plugins are beside us
        subprocess.run(command, check=True, env=path, stderr=subprocess.DEVNULL)
        made = Path(directory, "visard", "v1").iterdir()
        return {path.name: _IMPORT.sub("visard_wire.v1", path.read_text()) for path in made}


if __name__ == "__main__":
    main()
