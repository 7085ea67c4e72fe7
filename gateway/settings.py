"""Settings, from environment variables `BLINDSIGHT_*` and a `.env` file; docs/settings.md lists them."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from blindsight.errors import AddressError
from blindsight.wire.protocol import MAX_FRAME_BYTES
from gateway.connections import MOST, MOST_FROM_ONE_ADDRESS
from gateway.enclave.sources import Sources
from gateway.forwarded import Proxies
from gateway.hosts import Hosts, parse_origin
from gateway.rootpath import OWN_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT_PATH: Final = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)+")
_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9!_.*'()-]+)*/?")
_RETIRED: Final = ("BLINDSIGHT_ENCLAVE_HOST", "BLINDSIGHT_ENCLAVE_PORT")
"""Variables of earlier releases, which BLINDSIGHT_ENCLAVE replaces."""


class RetiredSetting(Exception):
    """A variable of an earlier release is set. Ignoring it would silently use a default instead."""


class Settings(BaseSettings):
    """All settings of an operator. Durations in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="BLINDSIGHT_", env_file=".env", extra="ignore", frozen=True, allow_inf_nan=False
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    hosts: str | None = Field(
        default=None,
        description="Accepted host names and addresses besides the loopback's, separated by commas;"
        " `*.NAME` accepts all names below NAME, `*` any name.",
    )
    origins: str | None = Field(
        default=None,
        description="Origins, separated by commas, whose pages have the same access as the gateway's own pages"
        " and can read the answers (CORS).",
    )
    proxies: str | None = Field(
        default=None,
        description="Addresses and networks of proxies, separated by commas, whose `X-Forwarded-For`,"
        " `X-Forwarded-Proto` and `Forwarded` fields the gateway trusts.",
    )
    root_path: str = Field(default="", description="Path prefix under which a proxy serves the gateway, such as `/ml`.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    tls_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of the HTTPS listener, in addition to the HTTP port."
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM certificate chain of the HTTPS port; the gateway follows the file."
    )
    tls_key: Path | None = Field(default=None, description="PEM private key of the HTTPS port.")
    metrics_host: str = Field(default="127.0.0.1", description="Address of the metrics listener.")
    metrics_port: int = Field(default=9000, ge=0, le=65535, description="Port of the metrics listener; 0 turns it off.")

    traces: str | None = Field(
        default=None,
        description="URL to which traces are sent (OTLP over HTTP), such as `http://collector:4318/v1/traces`;"
        " not set: no traces.",
    )
    traces_ratio: float = Field(
        default=1, ge=0, le=1, description="Ratio of the traces that begin at the gateway and are recorded, 0 to 1."
    )

    audit_log: Path | None = Field(
        default=None, description="File of the audit log; not set: administrative acts are in the ordinary log."
    )

    enclave: str = Field(
        default="tcp://127.0.0.1:7500",
        description="The enclave's address: `tcp://HOST:PORT`, `vsock://CID:PORT`, `unix:///PATH` or, behind a"
        " virtual machine monitor's socket, `unix:///PATH?port=N`. Several are separated by commas; `dns://NAME:PORT`"
        " are all addresses of a name.",
    )
    enclave_secret_file: Path | None = Field(
        default=None, description="File with the enclave's access secret; not set: the enclave's port is open."
    )
    policy: Path = Field(description="Policy file: the accepted enclaves.")
    attest_interval: float = Field(default=120, gt=0, description="Seconds between verifications of fresh evidence.")
    status_interval: float = Field(default=1, gt=0, description="Seconds between requests for the enclave's status.")

    database: str | None = Field(
        default=None,
        description="Database of the Cape host, `sqlite:///FILE` or `postgresql://…`; not set: no Cape host.",
    )
    bundles: str | None = Field(
        default=None, description="The Cape host's function ciphertexts: a folder, or a bucket `s3://NAME/PREFIX`."
    )
    max_sessions: int = Field(
        default=512, gt=0, description="Maximum number of connected Cape clients; further ones get 503."
    )
    idle_seconds: float = Field(
        default=60,
        gt=0,
        description="Seconds without data after which the gateway closes a Cape client's connection.",
    )
    classifier_grant: Path | None = Field(
        default=None, description="File with the deploy token of the account whose ciphertexts `/classify` decrypts."
    )

    tokens_file: Path | None = Field(
        default=None, description="File of hashed API tokens; not set: no token is required."
    )
    signup_tokens_file: Path | None = Field(
        default=None, description="File of hashed tokens for creating accounts; not set: API tokens are used."
    )
    open_signup: bool = Field(default=False, description="Allow callers to create accounts without a token.")
    rate_limit: str | None = Field(
        default=None,
        description="Requests of each caller that cost the enclave something, such as `10/second;1000/hour`;"
        " further ones get 429.",
    )
    quota: str | None = Field(
        default=None,
        description="Images of each caller, such as `100000/month`; requests with further ones get 429.",
    )
    redis: SecretStr | None = Field(
        default=None,
        description="Redis with the counts of rate limits and quotas, shared by gateways: `redis://HOST:PORT/DB`,"
        " `rediss://…` with TLS or `unix:///PATH`; not set: each gateway counts alone.",
    )
    redis_password_file: Path | None = Field(
        default=None, description="File with the password of `BLINDSIGHT_REDIS`, if its URL has none."
    )
    max_image_bytes: int = Field(
        default=20 * 1024 * 1024,
        gt=0,
        le=MAX_FRAME_BYTES - (2 << 20),
        description="Maximum size of an encoded image, bytes.",
    )
    max_batch_images: int = Field(default=64, gt=0, description="Maximum number of images in one batch.")
    max_batch_bytes: int = Field(default=64 * 1024 * 1024, gt=0, description="Maximum size of a batch's body, bytes.")
    max_in_flight: int = Field(
        default=64, gt=0, description="Maximum number of concurrent requests with an image; further ones get 503."
    )
    max_evidence_requests: int = Field(
        default=8, gt=0, description="Maximum number of concurrent requests for evidence; further ones get 503."
    )
    max_connections: int = Field(
        default=MOST,
        gt=0,
        description="Maximum number of connections; beyond it the gateway closes those idle for longest.",
    )
    max_connections_per_address: int = Field(
        default=MOST_FROM_ONE_ADDRESS,
        gt=0,
        description="Maximum number of connections from one address (IPv6: one /64 network), except from proxies.",
    )
    keepalive_timeout: float = Field(
        default=5,
        gt=0,
        description="Seconds without a request after which the gateway closes a connection.",
    )
    response_timeout: float = Field(
        default=60,
        gt=0,
        description="Seconds within which a caller must read an answer, plus one second for each MiB.",
    )
    body_timeout: float = Field(default=30, gt=0, description="Seconds within which a request body must arrive.")
    deadline: float = Field(default=30, gt=0, description="Seconds within which the enclave must answer.")
    drain_seconds: float = Field(
        default=25,
        gt=0,
        description="Seconds that running requests have to end after SIGTERM. What ends the gateway must wait longer.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The default sources. Raises `RetiredSetting` if one of them contains a variable that is no longer read."""
        sources = (init_settings, env_settings, dotenv_settings, file_secret_settings)
        for source in sources:
            if isinstance(source, EnvSettingsSource):
                _refuse_retired(source.env_vars)
        return sources

    @property
    def enclaves(self) -> Sources:
        """Where the enclaves are."""
        return Sources.parse(self.enclave)

    @property
    def known_hosts(self) -> Hosts:
        """Accepted host names of requests to the gateway."""
        return Hosts((self.hosts or "").split(","), listening=self.host)

    @property
    def known_metrics_hosts(self) -> Hosts:
        """Accepted host names of requests for metrics, including all IP addresses, since scrapers often know only an
        address.
        """
        return Hosts((self.hosts or "").split(","), listening=self.metrics_host, addresses=True)

    @property
    def trusted_origins(self) -> list[str]:
        """The origins of other sites' pages that are trusted."""
        return [text.strip() for text in (self.origins or "").split(",") if text.strip()]

    @property
    def known_proxies(self) -> Proxies:
        """The trusted proxies."""
        return Proxies(text.strip() for text in (self.proxies or "").split(",") if text.strip())

    @field_validator("root_path")
    @classmethod
    def _is_a_path(cls, text: str) -> str:
        path = text.rstrip("/")
        if path and not _ROOT_PATH.fullmatch(path):
            raise ValueError(f"{text!r} is not a path; write it as /NAME or /NAME/NAME")
        if path.partition("/")[2].partition("/")[0] in OWN_NAMES:
            raise ValueError(f"{text!r} begins as one of the gateway's own paths does; choose another")
        return path

    @field_validator("traces")
    @classmethod
    def _is_a_collector(cls, text: str | None) -> str | None:
        if text is None:
            return None
        url = urlsplit(text)
        if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment or "@" in url.netloc:
            raise ValueError("not a collector's URL; write it as http://HOST:4318/v1/traces, without user and password")
        _ = url.port  # Raises ValueError if it is not a port.
        return text

    @field_validator("enclave")
    @classmethod
    def _are_addresses(cls, text: str) -> str:
        try:
            Sources.parse(text)
        except AddressError as error:
            raise ValueError(f"{error} {error.next_step}") from error
        return text

    @model_validator(mode="after")
    def _names_are_names(self) -> Self:
        _ = self.known_hosts, self.known_proxies
        for text in self.trusted_origins:
            if parse_origin(text) is None:
                raise ValueError(
                    f"BLINDSIGHT_ORIGINS: {text!r} is not an origin; write it as https://NAME or https://NAME:PORT"
                )
        return self

    @model_validator(mode="after")
    def _tls_complete(self) -> Self:
        if self.tls_port is not None and (self.tls_certificate is None or self.tls_key is None):
            raise ValueError("BLINDSIGHT_TLS_PORT needs BLINDSIGHT_TLS_CERTIFICATE and BLINDSIGHT_TLS_KEY")
        return self

    @field_validator("rate_limit", "quota")
    @classmethod
    def _are_limits(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None:
            from gateway.ratelimits import policy  # noqa: PLC0415 -- a third of the time of a start, and rarely needed

            policy.parse(text, "images" if info.field_name == "quota" else "requests")
        return text

    @field_validator("redis")
    @classmethod
    def _is_a_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            from gateway.ratelimits import shared  # noqa: PLC0415 -- with redis, as slow as the rest of a start

            shared.check_url(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _redis_complete(self) -> Self:
        if self.redis is not None and self.rate_limit is None and self.quota is None:
            raise ValueError("BLINDSIGHT_REDIS needs BLINDSIGHT_RATE_LIMIT or BLINDSIGHT_QUOTA")
        if self.redis_password_file is not None and self.redis is None:
            raise ValueError("BLINDSIGHT_REDIS_PASSWORD_FILE needs BLINDSIGHT_REDIS")
        return self

    @model_validator(mode="after")
    def _cape_complete(self) -> Self:
        if (self.database is None) != (self.bundles is None):
            raise ValueError("BLINDSIGHT_DATABASE and BLINDSIGHT_BUNDLES go together")
        if "://" in (self.bundles or "") and not _BUCKET.fullmatch(self.bundles or ""):
            raise ValueError("BLINDSIGHT_BUNDLES is the path of a folder, or s3://BUCKET/PREFIX")
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


def _refuse_retired(variables: Mapping[str, str | None]) -> None:
    """Raise `RetiredSetting`, with the replacement."""
    found = [name for name in _RETIRED if name.lower() in variables]
    if found:
        host, port = (variables.get(name.lower()) for name in _RETIRED)
        instead = f"tcp://{host or '127.0.0.1'}:{port or 7500}"
        raise RetiredSetting(f"{' and '.join(found)} is no longer read: set BLINDSIGHT_ENCLAVE={instead} instead")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
