"""The settings of commands about the store. They are the gateway's, of which these commands need only a few."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.cape.bundles import Bundles

if TYPE_CHECKING:
    from gateway.cape.s3bundles import S3Bundles


class Stored(BaseSettings):
    """Where the store is; the meanings are those of `gateway.settings.Settings`."""

    model_config = SettingsConfigDict(env_prefix="BLINDSIGHT_", env_file=".env", extra="ignore", frozen=True)

    database: str
    bundles: str
    tokens_file: Path | None = None
    signup_tokens_file: Path | None = None


def place_of_bundles(where: str) -> Path | S3Bundles:
    """The folder or the bucket that `BLINDSIGHT_BUNDLES` names; a folder is not created. Raises `StoreUnusable`."""
    if "://" not in where:
        return Path(where)
    from gateway.cape.s3bundles import S3Bundles  # noqa: PLC0415 -- boto3 is loaded only for a bucket

    return S3Bundles(where)


def bundle_store(where: str) -> Bundles | S3Bundles:
    """As `place_of_bundles`; a folder is created. Raises `StoreUnusable`."""
    place = place_of_bundles(where)
    return Bundles(place) if isinstance(place, Path) else place


class StoredDatabase(BaseSettings):
    """Where the database is."""

    model_config = SettingsConfigDict(env_prefix="BLINDSIGHT_", env_file=".env", extra="ignore", frozen=True)

    database: str
