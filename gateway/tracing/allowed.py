"""All that a span can say: its names, its attributes and their values. `collector.py` applies it to every span.

Names follow OpenTelemetry's semantic conventions for HTTP spans where these have one. `url.path`, `url.query`,
`client.address`, `user_agent.original`, sizes of bodies, file names, classes, accounts and functions are missing on
purpose: they are content, or tell who calls.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from blindsight import problems
from blindsight.errors import BlindsightError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Value = str | int

METHOD: Final = "http.request.method"
ROUTE: Final = "http.route"
STATUS: Final = "http.response.status_code"
ERROR: Final = "error.type"
ENCLAVE: Final = "blindsight.enclave.id"
CAPE_ROUTE: Final = "blindsight.cape.route"
CAPE_OUTCOME: Final = "blindsight.cape.outcome"

KEYS: Final = frozenset({METHOD, ROUTE, STATUS, ERROR, ENCLAVE, CAPE_ROUTE, CAPE_OUTCOME})
"""The only keys of attributes."""
NAMES: Final = frozenset({"seal", "enclave", "open", "decode", "preprocess", "run", "verify evidence", "cape session"})
"""Names of spans, besides a method with its route."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "_OTHER"})
CAPE_ROUTES: Final = frozenset({"run", "deploy", "test", "key"})
CAPE_OUTCOMES: Final = frozenset({"client_ended", "idle", "draining", "failed"})

CANCELLED, GONE, TIMEOUT, INTERNAL = "cancelled", "client_gone", "timeout", "internal"
_OWN_CODES: Final = frozenset({CANCELLED, GONE, TIMEOUT, INTERNAL})

_ENCLAVE_ID: Final = re.compile(r"[0-9a-f]{16}")


def _codes(kind: type[BlindsightError]) -> Iterator[str]:
    yield from kind.NEXT_STEPS
    for narrower in kind.__subclasses__():
        yield from _codes(narrower)


CODES: Final = frozenset(_codes(BlindsightError)) | frozenset(problems.CATALOGUE) | _OWN_CODES
"""Values of `error.type`: the codes of problems and of the core's errors, all of which are ours."""


class AllowList:
    """The allow list of a gateway with these route templates."""

    def __init__(self, routes: Collection[str]) -> None:
        self._routes = frozenset(routes)
        self._names = NAMES | METHODS | {f"{method} {route}" for method in METHODS for route in self._routes}

    def name(self, name: str) -> bool:
        """Whether a span can have this name."""
        return name in self._names

    def attributes(self, attributes: Mapping[str, object]) -> dict[str, Value]:
        """Those of the attributes whose key and value are listed."""
        return {
            key: value
            for key, value in attributes.items()
            if isinstance(value, str | int) and not isinstance(value, bool) and self._allows(key, value)
        }

    def _allows(self, key: str, value: Value) -> bool:
        match key, value:
            case (_, int()):
                return key == STATUS and 100 <= value <= 599
            case ("http.request.method", _):
                return value in METHODS
            case ("http.route", _):
                return value in self._routes
            case ("error.type", _):
                return value in CODES
            case ("blindsight.enclave.id", str()):
                return _ENCLAVE_ID.fullmatch(value) is not None
            case ("blindsight.cape.route", _):
                return value in CAPE_ROUTES
            case ("blindsight.cape.outcome", _):
                return value in CAPE_OUTCOMES
        return False
