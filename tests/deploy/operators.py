"""The blocks of "Three operators" in docs/operations.md: whose they are, and how each in turn says them to a shell."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
SERVERS = {"party0": "party/0", "party1": "party/1", "party2": "party/2", "dealer": "dealer", "gateway": "gateway"}
OVERLAYS = {name: name.replace("party", "party-") for name in SERVERS}


def blocks() -> list[tuple[list[str], str]]:
    """For whom, and what a shell is told, in order."""
    section = PAGE.read_text().split("### Three operators\n")[1].split("**Users of the database.**")[0]
    found = re.findall(r"^ *```sh ([\w ,-]+)\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [(owners.split(), re.sub(r"^   ", "", text, flags=re.MULTILINE)) for owners, text in found]


def own(name: str, owners: list[str], text: str) -> str:
    """A block as an operator runs it: what is told to party 0 alone parties 1 and 2 run with their number."""
    if name in owners:
        return text
    if name in ("party1", "party2") and owners == ["party0"] and "cp -r" not in text:
        return re.sub(r"(party|[a-z]-|store/)0", rf"\g<1>{name[-1]}", text)
    if name in ("dealer", "gateway") and owners == ["party0"] and text.startswith("cp trust/"):
        return text.replace("party-0", name)
    return ""


def follow(
    folders: Mapping[str, Path], say: Callable[[str, str], object], exchanged: Callable[[], object] = lambda: None
) -> None:
    """Do what the page says, in its order. Step 2, before the first overlay is copied, is done for everybody.

    ``folders``: where each works, by name; ``say``: run a text in the shell of a name; ``exchanged``: called after step 2.
    """
    waiting = True
    for owners, text in blocks():
        if "cert-manager" in owners:
            continue
        if waiting and "cp -r" in text:
            exchange(folders)
            exchanged()
            waiting = False
        for name in folders:
            if mine := own(name, owners, text):
                say(name, mine)


def exchange(folders: Mapping[str, Path]) -> None:
    """Step 2: everybody gets everybody's root."""
    for name, folder in folders.items():
        for other in folders.values():
            shutil.copy(folder / "pki" / "ca.pem", other / f"{name}.pem")
