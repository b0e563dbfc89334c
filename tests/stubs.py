"""``python -m tests.stubs``: fail when the generated stubs are not those of protos/."""

import subprocess
import sys
import tempfile
from pathlib import Path

GENERATED = Path("client/visard/v1")


def main() -> None:
    """Generate into a temporary directory and compare."""
    protos = sorted(str(path) for path in Path("protos/visard/v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as directory:
        kinds = ("python", "grpc_python", "mypy", "mypy_grpc")
        outputs = [f"--{kind}_out={directory}" for kind in kinds]
        command = [sys.executable, "-m", "grpc_tools.protoc", "-Iprotos", *outputs, *protos]
        path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        subprocess.run(command, check=True, env=path, stderr=subprocess.DEVNULL)
        fresh = Path(directory) / "visard" / "v1"
        names = {path.name for path in [*fresh.iterdir(), *GENERATED.glob("*_pb2*")]}
        stale = [n for n in sorted(names) if _read(fresh / n) != _read(GENERATED / n)]
    if stale:
        sys.exit(f"stale stubs, run make proto: {', '.join(stale)}")


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


if __name__ == "__main__":
    main()
