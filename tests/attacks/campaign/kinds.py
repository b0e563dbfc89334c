"""The kinds of messages that the sources name, of the engine and of the party around it: so that none is forgotten."""

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import visard_engine
import visard_party

SOURCES = Path(visard_engine.__file__).parent
# networks, kits and kernels send nothing but through these
PLACES = ("protocols/*.py", "views.py", "matching.py", "searching.py", "describe.py")
# what refreshes, restores and imports shares, and what a comparison of theirs goes through: no request of this campaign
OF_OTHER_OPERATIONS = {"helping", "receiving", "renewal", "fitting", "channel"}


def named_in_sources() -> set[str]:
    """Regular expressions of all kinds: what is given for the parameter ``kind`` of whatever opens or sends something.

    Raises ValueError where that is neither a text nor passed on.
    """
    trees = [ast.parse(path.read_text()) for place in PLACES for path in sorted(SOURCES.glob(place))]
    places = dict(place for tree in trees for place in _takers(tree))
    return {kind for tree in trees for call in _calls(tree, places) for kind in _given(call, places)}


def missing(seen: Collection[str]) -> set[str]:
    """The kinds of the sources that are not among those seen."""
    return {kind for kind in named_in_sources() if not any(re.fullmatch(kind, one) for one in seen)}


def senders() -> set[str]:
    """Who sends in a party besides the engine: module and function of whatever calls ``exchange`` with something to send."""
    found = set()
    for path in Path(visard_party.__file__).parent.rglob("*.py"):
        if path.stem in OF_OTHER_OPERATIONS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef) and any(map(_sends, ast.walk(node))):
                found.add(f"{path.stem}.{node.name}")
    return found


def missing_senders(seen: Collection[str]) -> set[str]:
    """Those that sent none of the kinds seen, which have numbers behind them."""
    return senders() - {kind.partition(" ")[0] for kind in seen}


def _sends(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="exchange"), args=[ast.Dict(keys=[]), *_]):
            return False
        case ast.Call(func=ast.Attribute(attr="exchange")):
            return True
    return False


def _takers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Functions that take a kind, each with the place of this argument; a method's self does not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":
            names = [a.arg for a in node.args.args if a.arg != "self"]
            kinds = [a for a in node.args.args if a.arg == "kind" and isinstance(a.annotation, ast.Name)]
            if any(a.annotation.id == "str" for a in kinds if isinstance(a.annotation, ast.Name)):
                yield node.name, names.index("kind")


def _calls(tree: ast.Module, places: Collection[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) in places:
            yield node


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _given(call: ast.Call, places: dict[str, int]) -> Iterator[str]:
    place = places[_name(call)]
    named = [keyword.value for keyword in call.keywords if keyword.arg == "kind"]
    if not named and len(call.args) <= place:
        return  # something else of this name
    match named[0] if named else call.args[place]:
        case ast.Constant(value=str(kind)):
            yield re.escape(kind)
        case ast.JoinedStr(values=parts):
            yield "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts)
        case ast.Name(id="kind"):
            pass  # passed on
        case other:
            raise ValueError(f"{_name(call)}, line {call.lineno}: a kind that cannot be listed: {ast.dump(other)}")
