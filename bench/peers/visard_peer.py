"""Our own engine as one of the peers: ``python -m bench.peers.visard_peer ROW FOLDER`` prints one JSON object."""

import json
import sys

from bench import engine
from bench.rows import Row

REPEAT = 3  # counted runs, after one that warms up
REFERENCES = 100_000  # of W3


def row_of(name: str) -> Row:
    """W3 has a gallery; a row of W4 may name the side of its picture, as W4R:50."""
    kind, _, side = name.partition(":")
    return Row(kind, n=REFERENCES if kind == "W3" else int(side or 0))


def main(name: str) -> None:
    """Measure and print."""
    found = engine.measure(row_of(name), REPEAT)
    result = {
        "row": name,
        "seconds": found["engine_s"],
        "cpu_s": found["cpu_s_parties"],
        "sent_mb": found["sent_mb_party"],
    }
    print(json.dumps(result | {"exact": found["exact"], "ratio_torch": found["ratio_torch"]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
