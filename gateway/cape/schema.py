"""The tables of the gateway's store, for SQLite and PostgreSQL; `migrations` creates them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


class Moment(TypeDecorator[datetime]):
    """A point in time, always with its zone, always UTC. SQLite has no zones, so its column contains UTC without
    one.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Raises `ValueError` for a time without a zone, which would be ambiguous."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a point in time needs a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 -- SQLAlchemy gives it
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

accounts: Final = Table(
    "accounts",
    metadata,
    Column("username", String(39), primary_key=True),
    # Names that differ only in case are one.
    Column("username_key", String(39), nullable=False, unique=True),
    Column("owner_public_key", LargeBinary, nullable=False),
    # Sealed by the enclave; `version` counts its states, from 1.
    Column("record", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
)

functions: Final = Table(
    "functions",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("owner", String(39), ForeignKey("accounts.username"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("public", Boolean, nullable=False),
    Column("checksum", LargeBinary, nullable=False),
    # Of the ciphertext, bytes.
    Column("size", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    # The record's version that the deployment made: the order of deployments, whatever clocks say.
    Column("deployed_version", Integer, nullable=False),
    Index(None, "owner", "name", "deployed_version", unique=True),
)

tokens: Final = Table(
    "tokens",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("owner", String(39), ForeignKey("accounts.username"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("description", Text, nullable=False),
    # What the token says, not a reference: the function may be gone.
    Column("function_id", String(22)),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
)

account_root: Final = Table(
    "account_root",
    metadata,
    # One row at most.
    Column("id", Integer, CheckConstraint("id = 1", "one"), primary_key=True),
    # Identity of the root secret with which the records are sealed, hex.
    Column("root", String(32), nullable=False),
)

device_codes: Final = Table(
    "device_codes",
    metadata,
    # SHA-256 of the device code, hex.
    Column("code_hash", String(64), primary_key=True),
    Column("user_code", String(9), nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    # Seconds between polls.
    Column("interval", Integer, nullable=False),
    Column(
        "status", String(8), CheckConstraint("status IN ('pending', 'approved', 'denied')", "status"), nullable=False
    ),
    # Between the approval and the poll that delivers them.
    Column("access_token", Text),
    Column("id_token", Text),
    Column("last_poll_at", Moment),
    # What the device calls itself, where it asked from, and the account it asked for, if it named one.
    Column("device_name", String(64)),
    Column("address", String(64)),
    Column("account", String(39)),
    # The address, or for IPv6 the network that it is of: by it codes are counted.
    Column("source", String(64), index=True),
    CheckConstraint("status IN ('pending', 'approved', 'denied')", name="status"),
)
