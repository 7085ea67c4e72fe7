"""Settings of `cape`: flags override the environment, which overrides the presets file, which overrides the
defaults.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blindsight_cli.cape.console import CliError
from blindsight_cli.cape.flags import go_bool
from blindsight_cli.local_trust import environment as local_trust

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENVIRONMENT: Final[Mapping[str, tuple[str, ...]]] = {
    "enclave_host": ("CAPE_ENCLAVE_HOST",),
    "auth_host": ("CAPE_AUTH_HOST",),
    "audience": ("CAPE_AUDIENCE",),
    "client_id": ("CAPE_CLIENT_ID",),
    "local_config_dir": ("CAPE_LOCAL_CONFIG_DIR", "LOCAL_CONFIG_DIR"),
    # The second spelling of these two is pycape's.
    "local_auth_file_name": ("CAPE_LOCAL_AUTH_FILE_NAME", "CAPE_LOCAL_AUTH_FILENAME"),
    "local_cape_key_file_name": ("CAPE_LOCAL_CAPE_KEY_FILE_NAME", "CAPE_LOCAL_CAPE_KEY_FILENAME"),
    "dev_disable_ssl": ("CAPE_DEV_DISABLE_SSL",),
    "attestation_root": ("CAPE_ATTESTATION_ROOT",),
    "proxy": ("BLINDSIGHT_PROXY",),
}

OPTIONS: Final = tuple(_ENVIRONMENT)
"""What a presets file may hold, all as text."""

_DEFAULTS: Final[Mapping[str, str]] = {
    "audience": "https://app.capeprivacy.com/v1/",
    "client_id": "oXITxpCdjvRYSDJtaMeycvveqE9qadUS",
    "local_auth_file_name": "auth",
    "local_cape_key_file_name": "capekey.pub.der",
}


@dataclass(frozen=True)
class Settings:
    """Addresses and folders.

    `attestation_root` names a PEM file, empty for AWS's root; `proxy` is as for `Host`.
    """

    hosts: tuple[str, str]
    audience: str
    client_id: str
    config_dir: Path
    auth_file: Path
    key_file: Path
    insecure: bool
    attestation_root: str
    presets_file: Path
    proxy: str | None = None

    @property
    def enclave_host(self) -> str:
        """Base URL of WebSockets and REST. Raises `CliError` if none is set, because Cape's cloud no longer exists."""
        if not self.hosts[0]:
            raise CliError("no host given: set CAPE_ENCLAVE_HOST or --url")
        return self.hosts[0]

    @property
    def auth_host(self) -> str:
        """Base URL of the login."""
        return self.hosts[1] or self.enclave_host


def load(
    environ: Mapping[str, str],
    home: Path,
    *,
    presets: str = "",
    url: str = "",
    root: str = "",
    proxy: str = "",
    insecure: bool = False,
) -> Settings:
    """Put the settings together; the arguments are flags. Raises `CliError`."""
    presets_file = presets_path(environ, home, presets)
    stored = read_presets(presets_file, must_exist=bool(presets))

    def setting(name: str) -> str:
        found = next((environ[key] for key in _ENVIRONMENT[name] if environ.get(key)), None)
        return found or stored.get(name) or _DEFAULTS.get(name, "")

    folder = Path(setting("local_config_dir") or home / ".config" / "cape")
    hosts = (url, url) if url else (setting("enclave_host"), setting("auth_host"))
    return Settings(
        hosts=(hosts[0].removesuffix("/"), hosts[1].removesuffix("/")),
        audience=setting("audience"),
        client_id=setting("client_id"),
        config_dir=folder,
        auth_file=folder / setting("local_auth_file_name"),
        key_file=folder / setting("local_cape_key_file_name"),
        insecure=insecure or _truth(setting("dev_disable_ssl")),
        attestation_root=root or _local_root(environ, hosts[0]) or setting("attestation_root"),
        presets_file=presets_file,
        proxy=proxy or setting("proxy") or None,
    )


def _local_root(environ: Mapping[str, str], host: str) -> str:
    """The simulated root that `blindsight with-local-trust` names, if the host is of this machine."""
    return environ.get(local_trust.ROOT_VARIABLE, "") if local_trust.is_local(host) else ""


def presets_path(environ: Mapping[str, str], home: Path, flag: str) -> Path:
    """The presets file. Cape's reads one variable and writes to the other: here both are one."""
    named = flag or environ.get("CAPE_LOCAL_PRESETS_FILE") or environ.get("LOCAL_PRESETS_FILE")
    return Path(named) if named else home / ".config" / "cape" / "presets.json"


def read_presets(path: Path, *, must_exist: bool = False) -> dict[str, str]:
    """The stored options. Raises `CliError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise CliError(f"unable to read presets: open {path}: no such file or directory") from None
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CliError(f"unable to read presets: {path} is not a readable JSON file") from error
    if not isinstance(content, dict):
        raise CliError(f"unable to read presets: {path} is not a JSON object")
    return {
        str(name).lower(): value if isinstance(value, str) else json.dumps(value) for name, value in content.items()
    }


def write_preset(path: Path, name: str, value: str) -> None:
    """Store one option. Raises `CliError`."""
    if name not in OPTIONS:
        raise CliError(f"not a valid key: {name}")
    content = read_presets(path) | {name: value}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CliError(f"unable to write presets: {path}: {error.strerror}") from error


def _truth(text: str) -> bool:
    try:
        return go_bool(text)
    except ValueError:
        return False
