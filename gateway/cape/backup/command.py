"""`python -m gateway backup|restore`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cape.backup import layout
from gateway.cape.backup.layout import BackupError
from gateway.cape.backup.make import make
from gateway.cape.backup.restore import restore
from gateway.cape.stored import Stored

if TYPE_CHECKING:
    import argparse


async def run(arguments: argparse.Namespace) -> int:
    """Run one of the two. Raises `BackupError`, `StoreUnusable`, `CapeError`, `OSError`, `ValidationError`."""
    stored = Stored()
    token_files = {layout.TOKENS_FILE: stored.tokens_file, layout.SIGNUP_TOKENS_FILE: stored.signup_tokens_file}
    if "://" in stored.bundles:
        raise BackupError(
            "BLINDSIGHT_BUNDLES is a bucket, and an archive has the functions of a folder. Copy the bucket and the"
            " database by their own tools: docs/day-two.md."
        )
    bundles = Path(stored.bundles)
    if arguments.command == "backup":
        return await _backup(arguments.out, stored.database, bundles, token_files)
    checked = await restore(arguments.archive, stored.database, bundles, token_files, sha256=arguments.sha256)
    _print(f"Restored {_told(checked.counts)}.")
    return 0


async def _backup(out: Path, database: str, bundles: Path, token_files: dict[str, Path | None]) -> int:
    made = await make(database, bundles, out, token_files)
    _print(f"{out}: {_told(made.counts)}")
    _print(f"SHA-256 {made.sha256}")
    if made.missing:
        sys.stderr.write(
            f"gateway: the store lacks the bundles of {len(made.missing)} functions, such as {made.missing[0]}:"
            " they cannot be run. The archive has everything else.\n"
        )
    return 0


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
