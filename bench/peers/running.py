"""One program with a deadline: it and all that it started end together, and what it has printed until then stays."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

Figures = dict[str, Any]


class StepFailed(Exception):
    """A program gave no result; the text says why, in one line."""


def figures(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> Figures:
    """The last object that a program printed, a line of JSON that names a row; raises StepFailed.

    One that is not through after ``seconds`` is killed with its descendants. It may have printed all the same.
    """
    printed, reason = run(command, seconds, environment)
    found = [json.loads(line) for line in printed.splitlines() if line.startswith('{"row"')]
    if not found:
        raise StepFailed(reason or "it printed no result")
    return dict(found[-1])


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> tuple[str, str]:
    """What a program printed on standard output, and why it failed, "" if it did not."""
    # a session of its own: killed as a whole, with the parties that a peer starts
    running = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    reason = ""
    try:
        printed, said = running.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill(running)
        printed, said = running.communicate()
        reason = f"not through after {seconds:.0f} s"
    finally:
        _kill(running)
    if not reason and running.returncode:
        reason = _last_line(said) or f"it ended with status {running.returncode}"
    return printed, reason


def _kill(running: "subprocess.Popen[str]") -> None:
    """All that is left of its session."""
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
