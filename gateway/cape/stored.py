"""The settings of commands about the store. They are the gateway's, of which these commands need only a few."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Stored(BaseSettings):
    """Where the store is; the meanings are those of `gateway.settings.Settings`."""

    model_config = SettingsConfigDict(env_prefix="BLINDSIGHT_", env_file=".env", extra="ignore", frozen=True)

    database: str
    bundles: str
    tokens_file: Path | None = None
    signup_tokens_file: Path | None = None


class StoredDatabase(BaseSettings):
    """Where the database is."""

    model_config = SettingsConfigDict(env_prefix="BLINDSIGHT_", env_file=".env", extra="ignore", frozen=True)

    database: str
