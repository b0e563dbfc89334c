"""The report: a step, what was done and seen, and how long it took."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HEAD = """# On a real Kubernetes

What `make cluster-test` did and saw, written by it. It runs on a disposable cluster (`tests/cluster/setting.py` says what it
needs), with the images of this source, real photos, and `kubectl` as an operator has it; blocks are those of
[Operations](../operations.md). Seconds are of a machine that was busy with other work as well: they say what takes long, and are
no promise.

"""


@dataclass
class Step:
    """One step as it is told."""

    name: str
    title: str
    seen: list[str] = field(default_factory=list)
    seconds: float = 0.0
    failure: str = ""

    def saw(self, text: str) -> None:
        """Note what was done or seen, on the terminal as well."""
        self.seen.append(text)
        print(f"  {text}", flush=True)


@dataclass
class Report:
    """All steps in their order."""

    secrets: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[Step]:
        """Time one step; what ends it is noted and goes on."""
        step = Step(name, title)
        self.steps.append(step)
        print(f"{name}: {title}", flush=True)
        begun = time.monotonic()
        try:
            yield step
        except BaseException as error:
            step.failure = str(error) or type(error).__name__
            print(f"  FAILED: {step.failure}", flush=True)
            raise
        finally:
            step.seconds = time.monotonic() - begun

    def text(self) -> str:
        """The whole as markdown, without the places of this machine."""
        table = ["| step | | seconds |", "|---|---|---|"]
        table += [f"| {s.name} | {'**failed**' if s.failure else s.title} | {s.seconds:.0f} |" for s in self.steps]
        parts = [HEAD + "\n".join(table) + "\n"]
        for step in self.steps:
            lines = [f"## {step.name}: {step.title}", "", *(f"- {line}" for line in step.seen)]
            if step.failure:
                lines.append(f"- **failed**: {step.failure}")
            parts.append("\n".join(lines) + "\n")
        return self.clean("\n".join(parts))

    def clean(self, text: str) -> str:
        """Without what differs from machine to machine: the registry, temporary folders, digests."""
        for secret in self.secrets:
            text = text.replace(secret, "REGISTRY")
        text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:...", text)
        return re.sub(r"(?<![\w.])/(?:tmp|root|home|work|var/tmp)/[\w./+-]*", "...", text)

    def write(self, path: Path) -> None:
        """Put it where it belongs."""
        path.write_text(self.text())

    def save(self, path: Path) -> None:
        """Keep the steps for runs of others."""
        path.write_text(self.clean(json.dumps([vars(step) for step in self.steps], indent=1)))

    def with_earlier(self, path: Path, order: list[str]) -> "Report":
        """These steps and those kept of earlier runs, the newest of each name, in this order."""
        kept = [Step(**step) for step in json.loads(path.read_text())] if path.exists() else []
        newest = {step.name: step for step in (*kept, *self.steps)}
        return Report(self.secrets, [newest[name] for name in order if name in newest])
