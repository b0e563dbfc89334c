"""Objects of Kubernetes as text of a template: YAML in which some places are for Helm to fill.

A place within a string is an expression between two marks (``place``). A place of a whole value is a ``Filled``; one that is
there only under a condition, or another way under it, an ``If``. Whatever else a string has of Helm's braces comes out as it is.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_OPEN, _CLOSE = "\ue000", "\ue001"
_PLACE = re.compile(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}")
_LITERAL = '{{ "{{" }}'
# from marks to Helm's braces, for text that is no YAML
FINAL = str.maketrans({_OPEN: "{{", _CLOSE: "}}"})
# dictionaries, lists and scalars, as PyYAML reads them, with Filled and If at any place
Node = Any


@dataclass(frozen=True)
class Filled:
    """A value that is the YAML of an expression; in the key's own line where it is a number."""

    expression: str
    number: bool = False


@dataclass(frozen=True)
class If:
    """In a dictionary or list: one value under a condition, and another one, or nothing, without it."""

    condition: str
    then: Node
    otherwise: Node = None


def action(words: str) -> str:
    """A line of Helm's own, as ``end``, that leaves no line."""
    return f"{_OPEN}- {words} {_CLOSE}"


def place(expression: str) -> str:
    """An expression of Helm's, to stand within a string."""
    return f"{_OPEN} {expression} {_CLOSE}"


def plain(text: str) -> str:
    """The text without its places."""
    return _PLACE.sub("", text)


def changed(node: Node, change: Callable[[str], Node]) -> Node:
    """The same with another value for each string in it."""
    if isinstance(node, dict):
        return {key: changed(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [changed(value, change) for value in node]
    if isinstance(node, If):
        return If(node.condition, changed(node.then, change), changed(node.otherwise, change))
    return change(node) if isinstance(node, str) else node


def text_of(node: Node) -> str:
    """One object; ends with a line's end."""
    return "".join(f"{line}\n" for line in _lines(node, 0))


def _lines(node: Node, indent: int) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _either(value, lambda value, key=key: _entry(key, value, indent))  # type: ignore[misc]
    else:
        for value in node:
            yield from _either(value, lambda value: _item(value, indent))


def _either(node: Node, lines: Callable[[Node], Iterator[str]]) -> Iterator[str]:
    if not isinstance(node, If):
        yield from lines(node)
        return
    yield f"{{{{- if {node.condition} }}}}"
    yield from _either(node.then, lines)
    if node.otherwise is not None:
        yield "{{- else }}"
        yield from _either(node.otherwise, lines)
    yield "{{- end }}"


def _entry(key: str, value: Node, indent: int) -> Iterator[str]:
    start = " " * indent + f"{_scalar(key)}:"
    if isinstance(value, Filled) and value.number:
        yield f"{start} {{{{ {value.expression} }}}}"
    elif isinstance(value, Filled):
        yield start
        yield f"{' ' * (indent + 2)}{{{{- {value.expression} | nindent {indent + 2} }}}}"
    elif isinstance(value, dict | list) and value:
        yield start
        # kustomize writes lists that way: as deep as the key
        yield from _lines(value, indent if isinstance(value, list) else indent + 2)
    elif isinstance(value, str) and "\n" in value:
        yield f"{start} |{'' if value.endswith(chr(10)) else '-'}"
        yield from (f"{' ' * (indent + 2)}{_placed(line)}".rstrip() for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{start} {_scalar(value)}"


def _item(value: Node, indent: int) -> Iterator[str]:
    if isinstance(value, dict):
        first, *rest = _lines(value, indent + 2)
        if first.startswith("{{"):
            raise ValueError(f"a condition at the first key of a list's item: {list(value)}")
        yield f"{' ' * indent}- {first[indent + 2 :]}"
        yield from rest
    else:
        yield f"{' ' * indent}- {_scalar(value)}"


def _scalar(value: Node) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    # what a place becomes may be a number, or anything: a string that begins with one is quoted
    shown = _PLACE.sub("0", value)
    if value[:1] != _OPEN and yaml.safe_dump(shown, width=10**9).removesuffix("...\n").rstrip() == shown:
        return _placed(value)
    parts = re.split(f"({_PLACE.pattern})", value)
    quoted = (part if part[:1] == _OPEN else json.dumps(part, ensure_ascii=False)[1:-1] for part in parts)
    return _placed(f'"{"".join(quoted)}"')


def _placed(text: str) -> str:
    """Places become Helm's; braces that look like Helm's become text."""
    return text.replace("{{", _LITERAL).translate(FINAL)
