"""Making an archive while gateways run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from sqlalchemy import select

import blindsight
from blindsight import files
from blindsight.errors import CapeError
from gateway.cape import migrating
from gateway.cape.backup import layout
from gateway.cape.backup.layout import BackupError
from gateway.cape.backup.tar import Writer
from gateway.cape.database import Database
from gateway.cape.schema import functions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from gateway.cape.s3bundles import S3Bundles

_ROWS: Final = 200
"""Fetched at a time."""
_IDS: Final = select(functions.c.id)


@dataclass
class Made:
    """What an archive has: rows by table, the bundles that the store lacks, and the archive's SHA-256."""

    counts: dict[str, int]
    missing: list[str]
    sha256: str = ""


@dataclass
class _Snapshot:
    """The tables' rows as lines in temporary files; `sizes` are those of the functions' bundles."""

    schema: str
    tables: dict[str, BinaryIO]
    counts: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


async def make(database_url: str, bundles: Path | S3Bundles, out: Path, token_files: dict[str, Path | None]) -> Made:
    """Write the archive `out` (mode 0600) of a store and of `token_files`, by their names in the archive.

    `bundles` is the folder or the bucket of functions.

    The database is read in one transaction. Bundles are copied after it: their files never change, and exist before
    their functions do. Raises `BackupError`, `StoreUnusable`, `OSError`, and `CapeError` if the bucket does not answer.
    """
    database = Database(database_url)
    _require_apart(out, bundles, sources=(database.file, *token_files.values()))
    try:
        with contextlib.ExitStack() as opened:
            tables = {name: opened.enter_context(_draft_beside(out)) for name in layout.TABLES}
            snapshot = await database.snapshot(lambda connection: _dump(connection, tables))
            file = opened.enter_context(files.replacing(out, mode=0o600))
            writer = Writer(file, at=int(time.time()))
            if isinstance(bundles, Path):
                missing = await asyncio.to_thread(_add_bundles, writer, bundles, snapshot.sizes)
            else:
                missing = await _add_objects(writer, bundles, snapshot.sizes, out)
            # One that was deleted since the snapshot is left out. One that the store lists and lacks is reported.
            there = await database.snapshot(lambda connection: set(connection.execute(_IDS).scalars()))
            lost = [function_id for function_id in missing if function_id in there]
            await asyncio.to_thread(_add_tables, writer, snapshot, set(missing) - there)
            await asyncio.to_thread(_add_token_files, writer, token_files)
            _finish(writer, snapshot, lost)
            file.flush()
            file.seek(0)
            digest = await asyncio.to_thread(lambda: hashlib.file_digest(file, "sha256").hexdigest())
    finally:
        await database.close()
    return Made(snapshot.counts, lost, digest)


def _require_apart(out: Path, bundles: Path | S3Bundles, *, sources: Iterable[Path | None]) -> None:
    """Raise unless `out` can be written without a loss to the store. Raises `BackupError`, `OSError`."""
    files.require_replaceable(out, sources=sources)
    if isinstance(bundles, Path) and out.parent.resolve() == bundles.resolve():
        raise BackupError(f"{out} would be among the functions' bundles: write the archive to another folder.")


def _draft_beside(out: Path) -> BinaryIO:
    """A temporary file without a name, on the disk that has to hold the archive."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=out.resolve().parent))


def _dump(connection: Connection, tables: dict[str, BinaryIO]) -> _Snapshot:
    schema = migrating.current(connection)
    if schema is None:
        raise BackupError("the database has no tables yet, so there is nothing to back up.")
    snapshot = _Snapshot(schema, tables)
    for name, table in layout.TABLES.items():
        query = select(*(table.c[column] for column in layout.COLUMNS[name])).order_by(*table.primary_key)
        rows = connection.execution_options(yield_per=_ROWS).execute(query).mappings()
        snapshot.counts[table.name] = 0
        for row in rows:
            tables[name].write(layout.encode({str(column): value for column, value in row.items()}))
            snapshot.counts[table.name] += 1
            if table is functions:
                snapshot.sizes[row["id"]] = row["size"]
    return snapshot


def _add_tables(writer: Writer, snapshot: _Snapshot, deleted: set[str]) -> None:
    """Add the tables, without the functions that were deleted meanwhile."""
    for name, file in snapshot.tables.items():
        if layout.TABLES[name] is functions and deleted:
            file.seek(0)
            kept = [line for line in file if layout.decode(name, line)["id"] not in deleted]
            file.seek(0)
            file.truncate()
            file.writelines(kept)
            snapshot.counts["functions"] = len(kept)
        size = file.tell()
        file.seek(0)
        writer.add(name, file, size)


def _add_token_files(writer: Writer, token_files: dict[str, Path | None]) -> None:
    for name, path in token_files.items():
        if path is not None and path.exists():
            writer.add_bytes(name, files.read(path, layout.MAX_TOKEN_FILE_BYTES))


def _add_bundles(writer: Writer, folder: Path, sizes: dict[str, int]) -> list[str]:
    """Add the bundles of these functions. Returns the ids of those that are not there, or not whole."""
    missing = []
    for function_id, size in sizes.items():
        try:
            file = files.opened(folder / function_id)
        except FileNotFoundError:
            missing.append(function_id)
            continue
        with file:
            if file.seek(0, 2) != size:
                missing.append(function_id)
                continue
            file.seek(0)
            writer.add(f"{layout.BUNDLES}{function_id}", file, size)
    return missing


async def _add_objects(writer: Writer, bucket: S3Bundles, sizes: dict[str, int], out: Path) -> list[str]:
    """As `_add_bundles`. Each is first received in a temporary file: a connection may end within it."""
    missing = []
    for function_id, size in sizes.items():
        with _draft_beside(out) as draft:
            try:
                async for chunk in bucket.chunks(function_id):
                    await asyncio.to_thread(draft.write, chunk)
            except CapeError as error:
                if error.code != "unknown_function":
                    raise
                missing.append(function_id)
                continue
            if draft.tell() != size:
                missing.append(function_id)
                continue
            draft.seek(0)
            await asyncio.to_thread(writer.add, f"{layout.BUNDLES}{function_id}", draft, size)
    return missing


def _finish(writer: Writer, snapshot: _Snapshot, missing: list[str]) -> None:
    sums = "".join(f"{member.sha256}  {member.name}\n" for member in writer.members).encode()
    writer.add_bytes(layout.SUMS, sums)
    manifest = {
        "format": layout.FORMAT,
        "version": blindsight.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "schema": snapshot.schema,
        "counts": snapshot.counts,
        "missing_bundles": len(missing),
        "sums": hashlib.sha256(sums).hexdigest(),
    }
    writer.add_bytes(layout.MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")
    writer.end()
