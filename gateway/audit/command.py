"""The audit log for commands, which have no ordinary log: `token` and `revoke` write to its file if there is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.audit.log import Audit

_SECONDS: Final = 30.0


class _Settings(BaseSettings):
    """The one setting that commands read, from the same sources as the gateway."""

    model_config = SettingsConfigDict(env_prefix="BLINDSIGHT_", env_file=".env", extra="ignore", frozen=True)

    audit_log: Path | None = None


def opened() -> Audit | None:
    """The audit log's file; None without one. Raises `AuditUnusable`: a command then does nothing."""
    path = _Settings().audit_log
    return None if path is None else Audit(path)


def note(audit: Audit | None, act: str, subject: str) -> None:
    """Record what this process's user did, if there is a file."""
    if audit is not None:
        audit.note(act, actor=f"uid {os.getuid()}", subject=subject).result(_SECONDS)
