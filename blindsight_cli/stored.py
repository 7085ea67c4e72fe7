"""What a stack's folder keeps: the gateway's store, and the secrets that belong to it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from blindsight_cli.console import fail

if TYPE_CHECKING:
    from pathlib import Path

ROOT_SECRET: Final = "enclave/root_secret"  # noqa: S105 -- a path
RESTORING: Final = "restoring"
"""A file that exists while a restore of secrets has not ended."""


def database(state: Path) -> Path:
    """The SQLite file of the gateway's store."""
    return state / "gateway" / "cape.sqlite"


def settings(state: Path) -> dict[str, str]:
    """The gateway's settings of its store. `blindsight up` has the same."""
    return {
        "BLINDSIGHT_DATABASE": f"sqlite:///{database(state)}",
        "BLINDSIGHT_BUNDLES": str(state / "gateway" / "bundles"),
        "BLINDSIGHT_SIGNUP_TOKENS_FILE": str(state / "gateway" / "signup_tokens"),
    }


def accounts(state: Path) -> int:
    """The number of stored accounts; 0 also if the database cannot be read, of which the gateway tells the reason."""
    found = _query(state, "SELECT count(*) FROM accounts")
    return int(found[0][0]) if found else 0


def _query(state: Path, statement: str) -> list[tuple[Any, ...]]:
    file = database(state)
    if not file.is_file():
        return []
    with contextlib.suppress(sqlite3.Error):
        uri = f"file:{quote(str(file.resolve()))}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(statement).fetchall()
    return []


def require_usable(state: Path) -> None:
    """Exit with one line if a restore has not ended, or if the secret is missing with which the accounts were sealed.

    The enclave would make a new secret, and each use of an account would fail.
    """
    # The gateway's command leaves this entry in the database until all rows are there.
    if _query(state, "SELECT 1 FROM alembic_version WHERE version_num = 'restoring'"):
        fail(
            f"a restore into {state} has not ended",
            f"run it again: `blindsight restore FILE --state {state}`, or begin with an empty folder",
        )
    if (state / RESTORING).exists():
        fail(
            f"a restore of secrets into {state} has not ended",
            f"run it again: `blindsight restore --secrets FILE --state {state}`",
        )
    if not (state / ROOT_SECRET).exists() and (number := accounts(state)):
        fail(
            f"{state / ROOT_SECRET} is missing: without this secret the {number} accounts in {state} cannot be used",
            f"`blindsight restore --secrets FILE --state {state}`; or, if it is lost, delete the accounts with"
            f" `blindsight forget-accounts --state {state}`: docs/day-two.md",
        )
