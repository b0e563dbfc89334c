"""A log line is one JSON object, and whatever is binary or secret is shown by its size."""

import json
import subprocess
import sys

SCRIPT = """
import numpy as np, structlog
from visard_common import logs
from visard_wire.secret import Secret
logs.configure("party1", "info")
log = structlog.get_logger()
log.debug("hidden")
log.info("event", secret=Secret(b"hush" * 8), raw=b"hush" * 4, share=np.arange(10), request="abc")
try:
    raise ValueError("why")
except ValueError:
    log.exception("failed")
"""


def log_lines__should_be_json_without_secrets() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    event, failure = (json.loads(line) for line in done.stderr.splitlines())
    assert event["service"] == "party1"
    assert (event["secret"], event["raw"], event["share"]) == ("<Secret: 32 bytes>", "<16 bytes>", "<array of 10>")
    assert "hush" not in done.stderr
    assert "hidden" not in done.stderr
    assert "ValueError: why" in failure["exception"]
