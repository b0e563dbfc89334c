"""Documents point at what is there: every link to a file and to a heading, every file that the glossary names, every page."""

import re
from pathlib import Path

import pytest
import visard
from visard import errors

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
PARENTS = (ROOT / "client", *sorted(path for path in (ROOT / "services").iterdir() if path.is_dir()))
HOMES = (ROOT, *PARENTS, *(child for parent in PARENTS for child in parent.glob("visard_*")))
# beside this repository; what a build writes; a reader's; at a party that runs
ELSEWHERE = {"../shared/", "assets/", "dist/", "first.py", "kits/", "sealing/"}
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def link__should_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target}: no such file"
        assert found.is_relative_to(ROOT), f"{target}: not in this repository"
        assert not anchor or anchor in anchors(found), f"{target}: no such heading"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def page__should_link_to_nothing_outside_of_docs(page: Path) -> None:
    """The built pages have nothing else."""
    for target in _LINK.findall(prose(page)):
        if not re.match(r"https?://|#", target):
            assert (page.parent / target.partition("#")[0]).resolve().is_relative_to(DOCS), target


def every_page__should_be_built() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"([\w./-]+\.md)$", text, re.MULTILINE))
    assert listed == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def glossary__should_be_in_order_and_name_files_that_exist() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    words = [word.lower() for word, _ in rows[1:]]
    assert words == sorted(words)
    for word, where in rows[1:]:
        for path in re.findall("`([^`]+)`", where):
            assert any((home / path).exists() for home in HOMES), f"{word}: {path}"


def file_that_a_page_names__should_exist() -> None:
    """By the end of its path: a sentence says `relu.py` where the folder is plain."""
    folders = ("bench", "client", "deploy", "docs", "locks", "protos", "services", "tests")
    here = [f"/{path.relative_to(ROOT)}" for folder in folders for path in [ROOT / folder, *(ROOT / folder).rglob("*")]]
    for page in PAGES:
        for path in re.findall(r"`([\w./-]+(?:\.py|\.proto|/))`", page.read_text()):
            if path not in ELSEWHERE and not path.startswith("/"):
                assert any(known.endswith(f"/{path.rstrip('/')}") for known in here), f"{page.name}: {path}"


def reference__should_have_what_the_package_exports() -> None:
    said = set(re.findall(r"^::: visard\S*\.(\w+)$", (DOCS / "reference.md").read_text(), re.MULTILINE))
    assert {name for name in visard.__all__ if name != "__version__"} <= said
    assert {name for name in vars(errors) if _is_error(name)} <= said


def _is_error(name: str) -> bool:
    kind = getattr(errors, name)
    return isinstance(kind, type) and issubclass(kind, errors.VisardError)
