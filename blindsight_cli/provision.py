"""What `blindsight up` prepares for Cape's clients: a local account, the classifier as its function, a token.

Everything is done with the `cape` command, as any user would; `STATE/cape` keeps the account between runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from blindsight import strict_json
from blindsight.cape import tokens
from blindsight_cli import units
from blindsight_cli.console import err, fail
from blindsight_cli.local_trust import environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

USERNAME = "local"
FUNCTION = "classifier"
_GRANT_LIFETIME = timedelta(days=3650)


@dataclass(frozen=True)
class Provisioned:
    """What to hand to Cape's scripts."""

    function_id: str
    function_checksum: str
    token: str


def grant_file(state: Path) -> Path:
    """Where the local owner's permission for `/classify` is put."""
    return environment.config_folder(state) / "classifier.grant"


def signup_tokens(state: Path) -> Path:
    """The gateway's file of the one token that accounts are made with; made if it, or the token, is missing."""
    hashes, token = state / "gateway" / "signup_tokens", environment.signup_token_file(state)
    if not (hashes.exists() and token.exists()):
        hashes.unlink(missing_ok=True)
        token.parent.mkdir(mode=0o700, exist_ok=True)
        _write(token, units.output("gateway", "token", USERNAME, "--file", str(hashes)))
    return hashes


def provision(state: Path, bundle: Path, url: str) -> Provisioned:
    """Make what is missing of the local account's things on the running stack. Exits with one line if that fails."""
    folder = environment.config_folder(state)
    variables = environment.trusting(state, url, os.environ) | {
        "CAPE_ENCLAVE_HOST": url,
        "CAPE_LOCAL_CONFIG_DIR": str(folder),
    }
    checksum = hashlib.sha256(bundle.read_bytes()).hexdigest()
    _cape(variables, "signup", USERNAME)
    _grant(folder, checksum)
    known = _read(folder / "function.json")
    if known.get("function_checksum") != checksum or not _deployed(variables, known.get("function_id", "")):
        known = json.loads(_cape(variables, "deploy", str(bundle), "--name", FUNCTION, "-o", "json"))
        _write(folder / "function.json", json.dumps(known))
    token_file = folder / "token"
    if not token_file.exists():
        made = json.loads(_cape(variables, "token", "create", "--name", USERNAME, "-o", "json"))
        _write(token_file, made["token"])
    return Provisioned(known["function_id"], checksum, token_file.read_text(encoding="utf-8"))


def _grant(folder: Path, checksum: str) -> None:
    """Sign, as the local owner, that this very classifier may decrypt what is encrypted for the local account."""
    key = cast("Ed25519PrivateKey", load_pem_private_key((folder / "owner.key").read_bytes(), None))
    grant = tokens.mint(
        key, USERNAME, "deploy", lifetime=_GRANT_LIFETIME, func_checksum=checksum, function_name=FUNCTION, public=False
    )
    _write(folder / "classifier.grant", grant)


def _deployed(variables: Mapping[str, str], function_id: str) -> bool:
    listed = json.loads(_cape(variables, "list", "--limit", "1000", "-o", "json"))
    return any(each["id"] == function_id for each in listed["deployments"])


def _cape(variables: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "blindsight_cli.cape.main", *arguments]
    done = subprocess.run(command, env=dict(variables), capture_output=True, text=True, check=False)
    if done.returncode:
        err.print(done.stderr.strip(), markup=False)
        fail("the local Cape account could not be prepared", "remove the folder STATE/cape to begin anew")
    return done.stdout


def _read(path: Path) -> dict[str, str]:
    try:
        content: dict[str, str] = strict_json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content


def _write(path: Path, content: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    draft.replace(path)
