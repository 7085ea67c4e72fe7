"""Passwords of the compose file's services: made once, each in the volume of those that read it.

Run by the service `secrets`. Other containers have other users, so what they read has mode 0444: only containers with
the volume can see it.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from pathlib import Path


def make(folder: Path) -> None:
    """Write the files that are missing below `folder`."""
    postgres, redis, grafana = (_password(folder / "gateway" / name) for name in ("postgres", "redis", "grafana"))
    # libpq's format; libpq ignores a file that others can read.
    _write(folder / "gateway" / "pgpass", f"postgres:5432:blindsight:gateway:{postgres}\n", 0o600)
    _write(folder / "postgres" / "password", postgres, 0o444)
    _write(folder / "grafana" / "password", grafana, 0o444)
    digest = hashlib.sha256(redis.encode()).hexdigest()
    users = (
        "user default off",
        f"user gateway on #{digest} ~* &* +@all -@admin -@dangerous",
        "user health on nopass -@all +ping",
    )
    _write(folder / "redis" / "users.acl", "\n".join(users) + "\n", 0o444)


def _password(path: Path) -> str:
    """The password in `path`, made there if it is missing: 256 random bits."""
    if not path.exists():
        _write(path, secrets.token_hex(32), 0o600)
    return path.read_text(encoding="ascii")


def _write(path: Path, text: str, mode: int) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text, encoding="ascii")
    new.chmod(mode)
    new.replace(path)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
