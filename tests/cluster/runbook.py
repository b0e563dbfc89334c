"""docs/operations.md as it stands, told to a shell on a real cluster."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.failing import Failed
from tests.cluster.images import ROOT

PAGE = ROOT / "docs" / "operations.md"
_SECONDS = 1500.0


def section(title: str) -> str:
    """The text under a heading, to the next of its level."""
    level = title.split(" ", maxsplit=1)[0]
    return PAGE.read_text().split(f"\n{title}\n")[1].split(f"\n{level} ")[0]


def commands(text: str, name: str) -> str:
    """The blocks of a name, one after the other. Raises Failed where there is none."""
    found = re.findall(rf"^ *```sh {re.escape(name)}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise Failed(f"docs/operations.md has no block {name!r}")
    return "\n".join(re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in found)


@dataclass
class Shell:
    """An operator's shell: a folder with a copy of the manifests, and a kubeconfig."""

    folder: Path
    kubeconfig: Path
    variables: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """An empty folder, but for the manifests."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(ROOT / "deploy" / "k8s", self.folder / "deploy" / "k8s")

    def run(self, text: str) -> str:
        """Say something; what is printed. Raises Failed."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        more = {"PATH": path, "HOME": str(self.folder), "KUBECONFIG": str(self.kubeconfig)}
        command = ["sh", "-euc", f"umask 077\n{text}"]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=os.environ | more | self.variables,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{text.strip()[:300]}: no end within {_SECONDS:g} s") from error
        if done.returncode:
            raise Failed(f"{text.strip()[:300]}: {done.stdout[-500:]}{done.stderr[-1500:]}")
        return done.stdout
