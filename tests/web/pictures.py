"""``make page-pictures``: a picture of each of the pages for people, for README and docs: docs/figures/page-*.webp.

Services of its own, and the browser that the tests drive. What the camera shows is blurred until no face is left: the photos
are not ours to show.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.conftest import SHARED, published
from tests.web.browsing import ROOT
from tests.web.paging import used

FIGURES = ROOT / "docs" / "figures"
MOST = 60_000  # bytes


def main() -> None:
    """Take them."""
    with (
        tempfile.TemporaryDirectory() as name,
        published(Path(name) / "home", browsers=True) as running,
    ):
        folder = Path(name)
        used(folder, running, SHARED / "data" / "lfw-dev", "ada", pictures=name)
        for taken in sorted(folder.glob("page-*.png")):
            figure = FIGURES / f"{taken.stem}.webp"
            with Image.open(taken) as picture:
                picture.save(figure, quality=80, method=6)
            if figure.stat().st_size > MOST:
                sys.exit(f"{figure}: {figure.stat().st_size} bytes, at most {MOST}")


if __name__ == "__main__":
    main()
