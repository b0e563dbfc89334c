"""``python -m tests.web.measuring``: how fast a page in Chromium is, and what it holds. docs/web.md has the figures.

One line of JSON. Seconds: until the page is ready, and those for people, of a capture, from the shutter to the sealed upload, to
the answer, and the longest that the page stood still; MB that its process holds before and after a hundred captures; kB of all
scripts, gzipped.
"""

import json
import tempfile
from pathlib import Path
from statistics import median

from tests.conftest import SHARED, UNLIMITED, http_address, page_address, published
from tests.web.browsing import filmed, run, told
from tests.web.paging import used
from tests.web.test_browser import PEOPLE, SUBJECT

VERIFICATIONS = 20


def main() -> None:
    """Measure with services of its own."""
    with (
        tempfile.TemporaryDirectory() as name,
        published(Path(name) / "home", browsers=True, options=UNLIMITED) as running,
    ):
        folder = Path(name)
        filmed(SHARED / "data" / "lfw-dev" / PEOPLE["enrolled"], folder / "enrolled.mjpeg")
        places = page_address(running), http_address(running)
        told(folder, running.home / "certs", *places, subject=SUBJECT, verifications=VERIFICATIONS)
        found = run("measuring.ts", folder)
        (folder / "people").mkdir()
        people = used(folder / "people", running, SHARED / "data" / "lfw-dev", SUBJECT)
    sealed = [one["sealed"] for one in found["asked"]]
    figures = {
        "begun": found["begun"],
        "people_begun": people["begun"] / 1000,
        "capture": median(found["captures"]),
        "sealed": median(sealed),
        "sealed_range": [round(min(sealed), 3), round(max(sealed), 3)],
        "answered": median(one["whole"] for one in found["asked"]),
        "still": found["still"],
        "held_mb": [round(found[when] / 1e6, 1) for when in ("before", "after")],
        "scripts_kb": round(sum(found["scripts"].values()) / 1e3, 1),
    }
    print(json.dumps({name: round(one, 3) if isinstance(one, float) else one for name, one in figures.items()}))


if __name__ == "__main__":
    main()
