"""`python -m gateway serve`: reads settings from the environment, with one-line errors."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import uvloop
from pydantic import ValidationError

from blindsight.errors import CapeError, PolicyError
from gateway.audit.log import AuditUnusable
from gateway.cape.unusable import StoreUnusable
from gateway.serve import serve
from gateway.settings import RetiredSetting, Settings
from gateway.tokens import BadTokenFile

if TYPE_CHECKING:
    import argparse


class CannotStart(Exception):
    """The message is one line for the operator."""


def start() -> int:
    """Serve until SIGTERM or SIGINT. Raises `CannotStart`, `OSError`."""
    try:
        return uvloop.run(serve(Settings()))
    except ValidationError as error:
        raise CannotStart(_readings(error)) from error
    except (PolicyError, BadTokenFile, RetiredSetting, StoreUnusable, AuditUnusable) as error:
        raise CannotStart(f"{error} {getattr(error, 'next_step', '')}".strip()) from error


def about_the_store(arguments: argparse.Namespace) -> int:
    """Run `backup`, `restore`, `database` or `forget-accounts`. Raises `CannotStart`, `OSError`."""
    # SQLAlchemy is a quarter of the time of a start, and a gateway without a Cape host does not need it.
    from gateway.cape import administration  # noqa: PLC0415 -- as above
    from gateway.cape.backup import command  # noqa: PLC0415 -- as above
    from gateway.cape.backup.layout import BackupError  # noqa: PLC0415 -- as above

    # They tell of each step that they take; the command prints the result.
    for name in ("alembic", "botocore", "gateway.audit"):
        logging.getLogger(name).setLevel(logging.WARNING)
    run = command.run if arguments.command in {"backup", "restore"} else administration.run
    try:
        return asyncio.run(run(arguments))
    except ValidationError as error:
        raise CannotStart(_readings(error)) from error
    except (BackupError, StoreUnusable, AuditUnusable, CapeError) as error:
        raise CannotStart(str(error)) from error


def _readings(error: ValidationError) -> str:
    return "; ".join(_reading(entry["loc"], entry["msg"]) for entry in error.errors(include_input=False))


def _reading(location: tuple[int | str, ...], message: str) -> str:
    name = "".join(f"BLINDSIGHT_{str(part).upper()}: " for part in location[:1])
    return f"{name}{message.removeprefix('Value error, ')}"
