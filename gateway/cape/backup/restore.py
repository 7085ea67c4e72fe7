"""Restoring an archive into an empty store.

Everything is checked before anything is written. Then an entry in the database keeps gateways from serving the store,
bundles and token files are written, and one transaction adds the rows and removes the entry. A restore that was
interrupted is run again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from sqlalchemy import delete, func, insert, inspect, select, text

from blindsight import files, strict_json
from gateway.cape import migrating
from gateway.cape.backup import layout, tar
from gateway.cape.backup.layout import BackupError
from gateway.cape.bundles import MAX_BUNDLE_BYTES, Bundles
from gateway.cape.database import Database
from gateway.cape.schema import account_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Connection

    from gateway.cape.backup.tar import Member
    from gateway.cape.s3bundles import S3Bundles

_ROWS = 200
"""Inserted at a time."""

_KEYS: Final[Mapping[str, Callable[[Mapping[str, Any]], tuple[object, object]]]] = {
    "accounts.jsonl": lambda row: (row["username"], row["username_key"]),
    "functions.jsonl": lambda row: (row["id"], (row["owner"], row["name"], row["deployed_version"])),
    "tokens.jsonl": lambda row: (row["id"], row["id"]),
}
"""Of each row, what no other row of its table has."""

_USED = "Restore into an empty database and an empty folder or bucket of bundles."


@dataclass(frozen=True)
class Checked:
    """An archive that was read to its end and is whole: `members` by name, `counts` of rows by table."""

    members: dict[str, Member]
    counts: dict[str, int]

    @property
    def bundles(self) -> dict[str, Member]:
        """By the functions' ids."""
        found = {name: member for name, member in self.members.items() if name.startswith(layout.BUNDLES)}
        return {name.removeprefix(layout.BUNDLES): member for name, member in found.items()}


async def restore(
    archive: Path,
    database_url: str,
    bundles: Path | S3Bundles,
    token_files: dict[str, Path | None],
    *,
    sha256: str | None = None,
) -> Checked:
    """Restore `archive` into the store at `database_url` and `bundles`, a folder or a bucket, and into `token_files`.

    Refuses a store that is used, and an archive that is damaged, hostile, of another format or, with `sha256`, another
    one than that. Raises `BackupError`, `StoreUnusable`, `OSError`, and `CapeError` if bundles cannot be stored.
    """
    with files.opened(archive) as file:
        checked = await asyncio.to_thread(check, file, sha256)
        database = Database(database_url)
        try:
            there = _sizes(bundles) if isinstance(bundles, Path) else await asyncio.to_thread(bundles.sizes)
            _require_unused(file, checked, there, token_files)
            await database.administer(_begin)
            await _write_bundles(file, checked, bundles)
            await asyncio.to_thread(_write_token_files, file, checked, token_files)
            await database.administer(lambda connection: _finish(connection, file, checked))
        finally:
            await database.close()
    return checked


def check(file: BinaryIO, sha256: str | None = None) -> Checked:
    """Read the whole archive. Raises `BackupError` unless all of it is of the format, `OSError`."""
    if sha256 is not None and not hmac.compare_digest(_digest(file).encode(), sha256.lower().encode()):
        raise BackupError("the archive's SHA-256 is another one than --sha256. Use the archive that `backup` made.")
    file.seek(0)
    *content, sums, last = _all(file)
    manifest = _manifest(file, last)
    if (sums.name, sums.sha256) != (layout.SUMS, manifest["sums"]):
        raise BackupError("the archive is damaged: its checksums are not those of its manifest. Use another copy.")
    _compare(file, sums, content)
    checked = Checked({member.name: member for member in content}, manifest["counts"])
    _check_rows(file, checked, missing=manifest["missing_bundles"])
    return checked


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _all(file: BinaryIO) -> list[Member]:
    found = list(tar.members(file))
    names = [member.name for member in found]
    if not set(names) >= {*layout.TABLES, layout.SUMS} or names[-1] != layout.MANIFEST:
        raise BackupError("this is not an archive of `python -m gateway backup`.")
    for member in found:
        if member.name.startswith(layout.BUNDLES) and member.size > MAX_BUNDLE_BYTES:
            raise BackupError(f"{member.name} is larger than a function can be.")
        if member.name in layout.TOKEN_FILES and member.size > layout.MAX_TOKEN_FILE_BYTES:
            raise BackupError(f"{member.name} is larger than a file of tokens can be.")
    return found


def _manifest(file: BinaryIO, member: Member) -> dict[str, Any]:
    if member.size > layout.MAX_MANIFEST_BYTES:
        raise BackupError("the archive's manifest is too large.")
    try:
        content = strict_json.loads(b"".join(tar.copy(file, member)))
    except ValueError as error:
        raise BackupError("the archive's manifest is not JSON.") from error
    match content:
        case {
            "format": layout.FORMAT,
            "schema": str() as schema,
            "counts": {"accounts": int(), "functions": int(), "tokens": int()} as counts,
            "missing_bundles": int(),
            "sums": str(),
        } if len(counts) == len(layout.TABLES):
            if schema > migrating.revisions()[-1]:
                raise BackupError(
                    f"a newer release made the archive: its schema is {schema}. Restore it with that release."
                )
            return dict(content)
        case {"format": str() as other}:
            raise BackupError(f"the archive has the format {other[:40]!r}, and this release reads {layout.FORMAT!r}.")
    raise BackupError("the archive's manifest has another form.")


def _compare(file: BinaryIO, sums: Member, content: list[Member]) -> None:
    """Require that the checksums are those of the members, in their order."""
    listed = tar.lines(file, sums, limit=200)
    for member in content:
        if next(listed, None) != f"{member.sha256}  {member.name}".encode():
            raise BackupError(f"the archive is damaged: {member.name} is not what was backed up. Use another copy.")
    if next(listed, None) is not None:
        raise BackupError("the archive is damaged: a member is missing. Use another copy.")


def _check_rows(file: BinaryIO, checked: Checked, *, missing: int) -> None:
    """Require that all rows have the form of the format, and that they fit together."""
    owners: set[str] = set()
    functions: dict[str, int] = {}
    for name, table in layout.TABLES.items():
        unique: list[set[object]] = [set(), set()]
        count = 0
        for row in _rows(file, checked, name):
            count += 1
            for keys, key in zip(unique, _KEYS[name](row), strict=True):
                keys.add(key)
            if name == "accounts.jsonl":
                owners.add(row["username"])
            elif row["owner"] not in owners:
                raise BackupError(f"{name} has a row of an account that is not in the archive.")
            elif name == "functions.jsonl":
                functions[row["id"]] = row["size"]
        if {count, *map(len, unique)} != {checked.counts[table.name]}:
            raise BackupError(f"{name} has a row twice, or another number of rows than the manifest says.")
    bundles = {function_id: member.size for function_id, member in checked.bundles.items()}
    if not bundles.items() <= functions.items() or len(functions) - len(bundles) != missing:
        raise BackupError("the archive's bundles are not those of its functions.")


def _rows(file: BinaryIO, checked: Checked, name: str) -> Iterator[dict[str, Any]]:
    for line in tar.lines(file, checked.members[name], layout.MAX_LINE_BYTES):
        yield layout.decode(name, line)


def _sizes(folder: Path) -> dict[str, int]:
    """The sizes of all that is in a folder of bundles, by name.

    Except unfinished uploads: they are of a process that has ended, or of a gateway whose functions the database would
    show.
    """
    found = folder.iterdir() if folder.exists() else ()
    return {each.name: each.lstat().st_size for each in found if not each.name.startswith(".upload-")}


def _require_unused(
    file: BinaryIO, checked: Checked, there: dict[str, int], token_files: dict[str, Path | None]
) -> None:
    """Refuse to mix with what is there. What an interrupted restore of the same archive wrote may be there.

    `there` has the sizes of bundles.
    """
    known = checked.bundles
    for name, size in there.items():
        if name not in known or known[name].size != size:
            raise BackupError(f"the place of BLINDSIGHT_BUNDLES holds other functions. {_USED}")
    for name in layout.TOKEN_FILES:
        path, member = token_files.get(name), checked.members.get(name)
        if path is None or not path.exists():
            continue
        content = files.read(path, layout.MAX_TOKEN_FILE_BYTES)
        if member is None or content != b"".join(tar.copy(file, member)):
            raise BackupError(f"{path} has other tokens than the archive. Move it away, or name another file.")


def _require_empty(connection: Connection) -> None:
    there = inspect(connection)
    for table in layout.TABLES.values():
        if there.has_table(table.name) and connection.execute(select(func.count()).select_from(table)).scalar_one():
            raise BackupError(f"the database holds {table.name} already. {_USED}")


def _begin(connection: Connection) -> None:
    """Keep gateways from serving the store."""
    if migrating.RESTORING not in migrating.entries(connection):
        migrating.current(connection)
    _require_empty(connection)
    if not inspect(connection).has_table("alembic_version"):
        # As Alembic makes it.
        connection.execute(
            text(
                "CREATE TABLE alembic_version"
                " (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
            )
        )
    _mark(connection, "DELETE FROM alembic_version WHERE version_num = :entry")
    _mark(connection, "INSERT INTO alembic_version (version_num) VALUES (:entry)")


def _mark(connection: Connection, statement: str) -> None:
    connection.execute(text(statement), {"entry": migrating.RESTORING})


def _finish(connection: Connection, file: BinaryIO, checked: Checked) -> None:
    """Add all rows, and let gateways serve the store."""
    _require_empty(connection)
    _mark(connection, "DELETE FROM alembic_version WHERE version_num = :entry")
    migrating.upgrade(connection)
    # Of accounts that are deleted. The gateway finds out which enclaves open the restored records.
    connection.execute(delete(account_root))
    for name, table in layout.TABLES.items():
        batch: list[dict[str, Any]] = []
        for row in _rows(file, checked, name):
            batch.append(row)
            if len(batch) == _ROWS:
                connection.execute(insert(table), batch)
                batch = []
        if batch:
            connection.execute(insert(table), batch)


def _write_token_files(file: BinaryIO, checked: Checked, token_files: dict[str, Path | None]) -> None:
    for name, path in token_files.items():
        if path is not None and name in checked.members and not path.exists():
            files.write(path, b"".join(tar.copy(file, checked.members[name])), mode=0o600)


async def _write_bundles(file: BinaryIO, checked: Checked, place: Path | S3Bundles) -> None:
    store = Bundles(place) if isinstance(place, Path) else place
    for function_id, member in checked.bundles.items():
        async with store.receiving() as upload:
            for chunk in tar.copy(file, member):
                await upload.write(chunk)
            await upload.keep(function_id)
