"""For mkdocs: Markdown in Python does not know blocks with a second word (```sh upgrade), by which tests run them."""

import re


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page as mkdocs reads it."""
    return re.sub(r"^( *```sh) [\w ,-]+$", r"\1", markdown, flags=re.MULTILINE)
