"""The archive's content: its members, and the rows of its tables.

    accounts.jsonl, functions.jsonl, tokens.jsonl    one JSON object a line; bytes as base64, times as RFC 3339
    bundles/FUNCTION_ID                              the function's ciphertext
    tokens-file, signup-tokens-file                  hashed API tokens, if the gateway has such files
    SHA256SUMS                                       of all members before it, as `sha256sum` prints them
    manifest.json                                    format, counts, and the SHA-256 of SHA256SUMS

It is an uncompressed tar archive in this order. The columns belong to the format and not to a schema's revision, so an
archive can be restored into SQLite or PostgreSQL and by later releases. Logins of devices are left out: they last ten
minutes, and an approved one holds a token. So is which root secret the records belong to: gateways find it again.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from blindsight import strict_json
from blindsight.cape import ids
from blindsight.cape.constants import FUNCTION_NAME, USERNAME
from gateway.cape.schema import accounts, functions, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Table

FORMAT: Final = "blindsight-backup/1"
BUNDLES: Final = "bundles/"
SUMS: Final = "SHA256SUMS"
MANIFEST: Final = "manifest.json"
TOKENS_FILE: Final = "tokens-file"
SIGNUP_TOKENS_FILE: Final = "signup-tokens-file"
TOKEN_FILES: Final = (TOKENS_FILE, SIGNUP_TOKENS_FILE)
MAX_TOKEN_FILE_BYTES: Final = 16 << 20
MAX_LINE_BYTES: Final = 8 << 20
"""Of one row. An account with the most functions and revoked tokens has a record of less than a mebibyte."""
MAX_MANIFEST_BYTES: Final = 64 << 10

_MAX_INTEGER: Final = (1 << 31) - 1
_KEY_BYTES: Final = 32


class BackupError(Exception):
    """An archive cannot be made or restored; the message is one line for the operator, with the next step."""


def _bytes(value: object) -> bytes:
    return base64.b64decode(_text(value), validate=True)


def _digest(value: object) -> bytes:
    if len(content := _bytes(value)) != _KEY_BYTES:
        raise ValueError
    return content


def _text(value: object) -> str:
    # PostgreSQL's texts have no NUL, and lone surrogates have no encoding.
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    value.encode()
    return value


def _up_to(characters: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if len(text := _text(value)) > characters:
            raise ValueError
        return text

    return read


def _username(value: object) -> str:
    if not USERNAME.fullmatch(text := _text(value)):
        raise ValueError
    return text


def _function_name(value: object) -> str:
    if not FUNCTION_NAME.fullmatch(text := _text(value)):
        raise ValueError
    return text


def _id(value: object) -> str:
    if not ids.is_id(text := _text(value)):
        raise ValueError
    return text


def _integer(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_INTEGER:
        raise ValueError
    return value


def _boolean(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # Before the year 1 or after 9999 there.
        raise ValueError from error


def _or_none(read: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else read(value)


TABLES: Final[Mapping[str, Table]] = {"accounts.jsonl": accounts, "functions.jsonl": functions, "tokens.jsonl": tokens}
"""In an order in which each row's account is before it."""

COLUMNS: Final[Mapping[str, Mapping[str, Callable[[object], Any]]]] = {
    "accounts.jsonl": {
        "username": _username,
        "username_key": _username,
        "owner_public_key": _digest,
        "record": _bytes,
        "version": _integer,
        "created_at": _moment,
    },
    "functions.jsonl": {
        "id": _id,
        "owner": _username,
        "name": _function_name,
        "public": _boolean,
        "checksum": _digest,
        "size": _integer,
        "created_at": _moment,
        "deployed_version": _integer,
    },
    "tokens.jsonl": {
        "id": _id,
        "owner": _username,
        "name": _up_to(100),
        "description": _text,
        "function_id": _or_none(_up_to(22)),
        "created_at": _moment,
        "expires_at": _or_none(_moment),
        "last_used_at": _or_none(_moment),
        "revoked_at": _or_none(_moment),
    },
}
"""For each table its columns, and how each is read; reading raises `ValueError`."""


def encode(row: Mapping[str, Any]) -> bytes:
    """One row as a line."""
    return json.dumps({name: _plain(value) for name, value in row.items()}, separators=(",", ":")).encode() + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def decode(table: str, line: bytes) -> dict[str, Any]:
    """The row of a line of the member `table`. Raises `BackupError`."""
    readers = COLUMNS[table]
    try:
        content = strict_json.loads(line)
        if not isinstance(content, dict) or content.keys() != readers.keys():
            raise ValueError
        row = {name: read(content[name]) for name, read in readers.items()}
        if table == "accounts.jsonl" and row["username_key"] != row["username"].lower():
            raise ValueError
    except ValueError as error:
        raise BackupError(f"{table} has a row in another form; this is not an archive of `backup`.") from error
    return row
