"""Errors name arguments of the SDK, as in "(largest=True)"; on the command line each has an option, which is named instead."""

from visard.errors import VisardError

# what stands in the SDK's texts, in parentheses, and what a person types
OPTIONS = {
    "allow_large_gallery=True": "--allow-large-gallery",
    "allow_loose=True": "--allow-loose",
    "base_port": "--port",
    "home": "--home",
    "journal": "--journal",
    "largest=True": "--largest",
    "opens=True": "--open-output",
    "points={'default': DISTANCE}": "--point default=DISTANCE",
    "q=61": "--q 61",
    "store": "--store",
    "shape": "--input CxHxW",
    "weights=None": "without --weights",
}


def told(error: VisardError) -> str:
    """The error's text for somebody at the command line."""
    text = str(error)
    for argument, option in OPTIONS.items():
        text = text.replace(f"({argument})", f"({option})")
    return text
