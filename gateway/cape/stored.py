"""The settings of commands about the store. They are the gateway's, of which these commands need only a few."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.cape.bundles import Bundles
from gateway.cape.unusable import StoreUnusable

if TYPE_CHECKING:
    from gateway.cape.services import BundleStore


class Stored(BaseSettings):
    """Where the store is; the meanings are those of `gateway.settings.Settings`."""

    model_config = SettingsConfigDict(env_prefix="BLINDSIGHT_", env_file=".env", extra="ignore", frozen=True)

    database: str
    bundles: str
    tokens_file: Path | None = None
    signup_tokens_file: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder of bundles. Raises `StoreUnusable` if they are in a bucket."""
        if "://" in self.bundles:
            raise StoreUnusable(
                "BLINDSIGHT_BUNDLES is a bucket, and this command copies folders: copy bucket and database by their own"
                " means."
            )
        return Path(self.bundles)


class StoredDatabase(BaseSettings):
    """Where the database is."""

    model_config = SettingsConfigDict(env_prefix="BLINDSIGHT_", env_file=".env", extra="ignore", frozen=True)

    database: str


def bundles_at(where: str) -> BundleStore:
    """The bundles in this place, as `BLINDSIGHT_BUNDLES` states it. Raises `StoreUnusable`."""
    if "://" not in where:
        return Bundles(Path(where))
    from gateway.cape.s3bundles import S3Bundles  # noqa: PLC0415 -- with AWS's library, a third of a second

    return S3Bundles(where)
