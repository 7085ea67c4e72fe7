"""Parameters of a classification request: `top_k` and `receipt`, in the query, a form or JSON.

Unknown names are refused: otherwise a misspelt `top-k` would silently use the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blindsight.exchange import default_top_k
from blindsight.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from starlette.requests import Request

_LONGEST_NAME: Final = 40
"""Maximum length of an unknown name that a refusal repeats; longer ones could be content."""


@dataclass(frozen=True)
class Given:
    """The parameters in one part of a request; JSON's numbers and booleans as text."""

    place: str
    values: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Wanted:
    """The validated parameters."""

    top_k: int
    receipt: bool


def in_query(request: Request, known: Sequence[str]) -> Given:
    """Raise `Problem` (`invalid_parameter`) for a query parameter that is not `known`."""
    query = request.query_params
    check_names(query.keys(), known, "query parameter")
    return Given("the query", {name: query.getlist(name) for name in query})


def no_query(request: Request) -> None:
    """Raise `Problem` (`invalid_parameter`) for any query parameter: those of a sealed request are inside it."""
    for name in request.query_params:
        raise Problem("invalid_parameter", f"A sealed request has its parameters inside: {shown(name)} is outside.")


def check_names(names: Iterable[str], known: Sequence[str], kind: str, hint: str = "") -> None:
    """Raise `Problem` (`invalid_parameter`) for the first name that is not `known`."""
    for name in names:
        if name not in known:
            listed = ", ".join(repr(each) for each in known) or "none"
            raise Problem("invalid_parameter", f"Unknown {kind} {shown(name)}. Known here: {listed}.{hint}")


def shown(name: str) -> str:
    """A name from the request, in the form in which a refusal can repeat it: printable ASCII, if it is short."""
    return ascii(name) if len(name) <= _LONGEST_NAME else f"of {len(name)} characters"


def wanted(places: Sequence[Given], classes: int) -> Wanted:
    """Combine the parameters of all `places`, for a model with this number of classes.

    Raises `Problem`: `invalid_top_k`, or `invalid_parameter` for an invalid `receipt` and for places that differ.
    """
    top_k = _agreed("top_k", places, lambda values: _top_k(values, classes))
    receipt = _agreed("receipt", places, _receipt)
    return Wanted(default_top_k(classes) if top_k is None else top_k, bool(receipt))


def _agreed(name: str, places: Sequence[Given], read: Callable[[Sequence[str]], int]) -> int | None:
    stated = {each.place: read(each.values[name]) for each in places if name in each.values}
    if len(set(stated.values())) > 1:
        raise Problem("invalid_parameter", f"'{name}' differs between {' and '.join(stated)}.")
    return next(iter(stated.values()), None)


def _top_k(values: Sequence[str], classes: int) -> int:
    text = values[0]
    # `int` alone would take "1_0", " 5" and digits of other scripts.
    whole = text.isascii() and text.isdigit() and len(text) <= 6
    if len(values) > 1 or not whole or not 1 <= int(text) <= classes:
        detail = f"top_k must be one whole number from 1 to {classes}."
        raise Problem("invalid_top_k", detail, minimum=1, maximum=classes)
    return int(text)


def _receipt(values: Sequence[str]) -> bool:
    if list(values) not in (["true"], ["false"]):
        raise Problem("invalid_parameter", "receipt must be true or false, once.")
    return values[0] == "true"
