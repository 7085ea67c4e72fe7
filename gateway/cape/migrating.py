"""The schema's revision, and the steps from one to another, in the transaction of `database.Database.administer`.

Revisions are numbered in order. A store in which a restore began and did not end has one more entry in Alembic's table,
so that no gateway serves it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text

from gateway.cape.unusable import StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from sqlalchemy import Connection

RESTORING: Final = "restoring"
"""The entry of a store in which a restore has begun."""

_VERSIONS: Final = Path(__file__).with_name("migrations") / "versions"
"""Migrations. The name of each file begins with its revision."""


def revisions() -> list[str]:
    """All revisions that this release knows, the oldest first."""
    return sorted(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*.py"))


def entries(connection: Connection) -> list[str]:
    """What Alembic's table has; nothing if there is none."""
    if not inspect(connection).has_table("alembic_version"):
        return []
    return sorted(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())


def current(connection: Connection) -> str | None:
    """The schema's revision; None if the database has no tables yet. Raises `StoreUnusable` for one of a newer release,
    and for a store of which only a part was restored.
    """
    found = entries(connection)
    if RESTORING in found:
        raise StoreUnusable(
            "a restore into this store has not ended. Run it again: `python -m gateway restore FILE`, or use an empty"
            " database and an empty folder of bundles."
        )
    if not found:
        return None
    known = revisions()
    if len(found) != 1 or found[0] not in known:
        raise StoreUnusable(
            f"the store was made by a newer release: its schema is {', '.join(found)}, and this release knows"
            f" {known[-1]}. Start that release, or have it run `python -m gateway database downgrade {known[-1]}`."
        )
    return found[0]


def upgrade(connection: Connection, to: str | None = None) -> tuple[str | None, str]:
    """Upgrade the schema to the revision `to`, by default the newest. The revisions before and after.

    Raises `StoreUnusable`, also if the schema is newer than `to`, and `SQLAlchemyError`.
    """
    before, to = current(connection), to or revisions()[-1]
    if before == to:
        return before, to
    if before is not None and before > to:
        raise StoreUnusable(f"the schema is {before} already. To go back: `python -m gateway database downgrade {to}`.")
    _run(connection, "upgrade", to)
    return before, to


def downgrade(connection: Connection, to: str) -> tuple[str, str]:
    """Take the schema back to the revision `to`. The revisions before and after.

    Raises `StoreUnusable` if there is no such revision or the schema is older, and `SQLAlchemyError`.
    """
    if to not in revisions():
        raise StoreUnusable(f"there is no schema {to!r}; this release knows {', '.join(revisions())}.")
    before = current(connection)
    if before is None or before < to:
        raise StoreUnusable(
            f"the schema is {before or 'not made yet'}. To go forward: `python -m gateway database upgrade`."
        )
    if before != to:
        _run(connection, "downgrade", to)
    return before, to


def _run(connection: Connection, step: str, to: str) -> None:
    # These imports take a sixth of the time of the gateway's imports and 10 MB, for a step that runs once a release.
    from alembic import command  # noqa: PLC0415 -- as above
    from alembic.config import Config  # noqa: PLC0415 -- as above

    config = Config()
    config.set_main_option("script_location", "gateway.cape:migrations")
    config.attributes["connection"] = connection
    steps: dict[str, Callable[[Config, str], None]] = {"upgrade": command.upgrade, "downgrade": command.downgrade}
    steps[step](config, to)
