"""Who an answer names, in words and as fields of JSON: of a photo, a folder's, a face's."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from visard.results import Candidate, Identification


def named(answer: Identification) -> str:
    """Who it is in a word or two: one person, several, or nobody."""
    if answer.subject is not None:
        return answer.subject
    people = list(dict.fromkeys(one.subject for one in answer.candidates))
    text = f"several people: {', '.join(people)}" if people else "several people" if answer.more else "nobody enrolled"
    return f"{text}, and more than can be told" if answer.more else text


def words(answer: Identification) -> str:
    """The same, and the point that decided."""
    return f"{named(answer)} ({answer.operating_point})"


def fields(answer: Identification) -> dict[str, Any]:
    """For JSON."""
    point = {"subject": answer.subject, "operating_point": answer.operating_point}
    return {**point, "candidates": listed(answer.candidates), "more": answer.more}


def listed(candidates: Iterable[Candidate]) -> list[dict[str, str]]:
    """Candidates for JSON; with the model where several were asked."""
    return [{name: value for name, value in asdict(one).items() if name != "model" or value} for one in candidates]
