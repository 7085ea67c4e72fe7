"""Settings, from environment variables `BLINDSIGHT_*` and a `.env` file; docs/settings.md lists them."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from blindsight.wire.protocol import MAX_FRAME_BYTES
from gateway.connections import MOST, MOST_FROM_ONE_ADDRESS
from gateway.hosts import Hosts
from gateway.origins import parse_origin


class Settings(BaseSettings):
    """Everything an operator can set. Durations in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="BLINDSIGHT_", env_file=".env", extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    hosts: str | None = Field(
        default=None,
        description="Names and addresses that requests may name beside the loopback's, with commas between;"
        " `*.NAME` is all below NAME, `*` any.",
    )
    origins: str | None = Field(
        default=None,
        description="Origins of other sites' pages that may do what the gateway's own may, with commas between.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    tls_port: int | None = Field(default=None, ge=0, le=65535, description="HTTPS port, beside the other.")
    tls_certificate: Path | None = Field(default=None, description="PEM certificate chain of the HTTPS port.")
    tls_key: Path | None = Field(default=None, description="PEM private key of the HTTPS port.")
    metrics_host: str = Field(default="127.0.0.1", description="Address of the metrics listener.")
    metrics_port: int = Field(default=9000, ge=0, le=65535, description="Port of the metrics listener; 0 turns it off.")

    enclave_host: str = Field(default="127.0.0.1", description="The enclave's address.")
    enclave_port: int = Field(default=7500, ge=1, le=65535, description="The enclave's port.")
    enclave_secret_file: Path | None = Field(
        default=None, description="File of the secret that admits to the enclave's port; none: the port is open."
    )
    policy: Path = Field(description="Policy file: which enclaves are accepted.")
    attest_interval: float = Field(default=120, gt=0, description="Seconds between verifications of fresh evidence.")
    status_interval: float = Field(default=1, gt=0, description="Seconds between looks at the enclave's status.")

    database: str | None = Field(
        default=None, description="Database of the Cape host, `sqlite:///FILE` or `postgresql://…`; none: no Cape host."
    )
    bundles: Path | None = Field(default=None, description="Folder of the Cape host's function ciphertexts.")
    max_sessions: int = Field(default=512, gt=0, description="Cape clients connected at once; further ones get 503.")
    idle_seconds: float = Field(
        default=60, gt=0, description="Seconds of silence after which a Cape client's connection is closed."
    )
    classifier_grant: Path | None = Field(
        default=None, description="File of a deploy token: whose ciphertexts `/classify` takes."
    )

    tokens_file: Path | None = Field(
        default=None, description="File of hashed API tokens; none: no token is asked for."
    )
    signup_tokens_file: Path | None = Field(
        default=None, description="File of hashed tokens that accounts are made with; none: the API tokens are."
    )
    open_signup: bool = Field(default=False, description="Let accounts be made without a token.")
    max_image_bytes: int = Field(
        default=20 * 1024 * 1024, gt=0, le=MAX_FRAME_BYTES - (2 << 20), description="Largest encoded image, bytes."
    )
    max_batch_images: int = Field(default=64, gt=0, description="Most images in one batch.")
    max_batch_bytes: int = Field(default=64 * 1024 * 1024, gt=0, description="Largest body of a batch, bytes.")
    max_in_flight: int = Field(
        default=64, gt=0, description="Requests that hold an image at once; further ones get 503."
    )
    max_evidence_requests: int = Field(
        default=8, gt=0, description="Requests for evidence that are with the enclave at once; further ones get 503."
    )
    max_connections: int = Field(
        default=MOST,
        gt=0,
        description="Connections at once; for further ones, those that have waited longest for a request are closed.",
    )
    max_connections_per_address: int = Field(
        default=MOST_FROM_ONE_ADDRESS,
        gt=0,
        description="Connections at once from one address (IPv6: one /64 network); behind a proxy, as many as in all.",
    )
    keepalive_timeout: float = Field(
        default=5, gt=0, description="Seconds without a request after which a connection is closed."
    )
    response_timeout: float = Field(
        default=60,
        gt=0,
        description="Seconds in which a caller must have taken a whole answer; a large one has one more for each MiB.",
    )
    body_timeout: float = Field(default=30, gt=0, description="Seconds in which a request body must have arrived.")
    deadline: float = Field(default=30, gt=0, description="Seconds in which the enclave must have answered.")
    drain_seconds: float = Field(default=25, gt=0, description="Seconds for running requests to end after SIGTERM.")

    @property
    def known_hosts(self) -> Hosts:
        """What requests to the gateway may name."""
        return Hosts((self.hosts or "").split(","), listening=self.host)

    @property
    def known_metrics_hosts(self) -> Hosts:
        """What scrapers may name: they often know an address only."""
        return Hosts((self.hosts or "").split(","), listening=self.metrics_host, addresses=True)

    @property
    def trusted_origins(self) -> list[str]:
        """The origins of other sites' pages that are trusted."""
        return [text.strip() for text in (self.origins or "").split(",") if text.strip()]

    @model_validator(mode="after")
    def _names_are_names(self) -> Self:
        _ = self.known_hosts
        for text in self.trusted_origins:
            if parse_origin(text) is None:
                raise ValueError(
                    f"BLINDSIGHT_ORIGINS: {text!r} is no origin; write it as https://NAME or https://NAME:PORT"
                )
        return self

    @model_validator(mode="after")
    def _tls_complete(self) -> Self:
        if self.tls_port is not None and (self.tls_certificate is None or self.tls_key is None):
            raise ValueError("BLINDSIGHT_TLS_PORT needs BLINDSIGHT_TLS_CERTIFICATE and BLINDSIGHT_TLS_KEY")
        return self

    @model_validator(mode="after")
    def _cape_complete(self) -> Self:
        if (self.database is None) != (self.bundles is None):
            raise ValueError("BLINDSIGHT_DATABASE and BLINDSIGHT_BUNDLES go together")
        if self.classifier_grant is not None and self.database is None:
            raise ValueError("BLINDSIGHT_CLASSIFIER_GRANT needs BLINDSIGHT_DATABASE")
        return self

    @model_validator(mode="after")
    def _closed_to_the_world(self) -> Self:
        if self.tokens_file is None and not _is_loopback(self.host):
            raise ValueError(
                f"refusing to listen on {self.host} without authentication: set BLINDSIGHT_TOKENS_FILE"
                " (make a token with `python -m gateway token NAME --file FILE`) or BLINDSIGHT_HOST=127.0.0.1"
            )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
