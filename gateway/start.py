"""`python -m gateway serve`: reads settings from the environment, with one-line errors."""

from __future__ import annotations

import uvloop
from pydantic import ValidationError

from blindsight.errors import PolicyError
from gateway.audit.log import AuditUnusable
from gateway.cape.unusable import StoreUnusable
from gateway.serve import serve
from gateway.settings import RetiredSetting, Settings
from gateway.tokens import BadTokenFile


class CannotStart(Exception):
    """The message is one line for the operator."""


def start() -> int:
    """Serve until SIGTERM or SIGINT. Raises `CannotStart`, `OSError`."""
    try:
        return uvloop.run(serve(Settings()))
    except ValidationError as error:
        lines = (_reading(entry["loc"], entry["msg"]) for entry in error.errors(include_input=False))
        raise CannotStart("; ".join(lines)) from error
    except (PolicyError, BadTokenFile, RetiredSetting, StoreUnusable, AuditUnusable) as error:
        raise CannotStart(f"{error} {getattr(error, 'next_step', '')}".strip()) from error


def _reading(location: tuple[int | str, ...], message: str) -> str:
    name = "".join(f"BLINDSIGHT_{str(part).upper()}: " for part in location[:1])
    return f"{name}{message.removeprefix('Value error, ')}"
