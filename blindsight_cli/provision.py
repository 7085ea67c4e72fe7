"""What `blindsight up` prepares for Cape's clients: a local account, the classifier as its function, a token.

Everything is done with the `cape` command, as any user would; `STATE/cape` keeps the account between runs. Beside it
there is an example account, whose key `encrypt_for_user.py` of Cape's example asks for; its folder is `STATE/capedocs`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from blindsight import files, strict_json
from blindsight.cape import tokens
from blindsight.client.cape import Host, json_object
from blindsight.errors import BlindsightError, CapeError, LocalTrustError, TransportError
from blindsight_cli import units
from blindsight_cli.local_trust import environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

USERNAME = "local"
FUNCTION = "classifier"
EXAMPLE = "capedocs"
"""The account of the examples that Cape published. On this machine it is an example, and its owner is this user."""
_GRANT_LIFETIME = timedelta(days=7)
_REGISTRATION_LIFETIME = timedelta(minutes=5)


@dataclass(frozen=True)
class Provisioned:
    """What to hand to Cape's scripts."""

    function_id: str
    function_checksum: str
    token: str


class NotProvisioned(Exception):
    """The stack runs, but Cape's clients cannot use it; the message says why, `next_step` what to do."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step


def grant_file(state: Path) -> Path:
    """Where the local owner's permission for `/classify` is put."""
    return environment.config_folder(state) / "classifier.grant"


def signup_tokens(state: Path) -> Path:
    """The gateway's file of the one token that accounts are made with; made if it, or the token, is missing."""
    hashes, token = state / "gateway" / "signup_tokens", environment.signup_token_file(state)
    if not (hashes.exists() and token.exists()):
        hashes.unlink(missing_ok=True)
        token.parent.mkdir(mode=0o700, exist_ok=True)
        files.write(token, units.output("gateway", "token", USERNAME, "--file", str(hashes)).encode(), mode=0o600)
    return hashes


def example_folder(state: Path) -> Path:
    """Where the example account's owner key is, in the layout of Cape's command line."""
    return state / EXAMPLE


def provision(state: Path, bundle: Path, url: str, plain_url: str) -> Provisioned:
    """Make what is missing of the local account's things on the running stack, which has HTTPS at `url` and HTTP at
    `plain_url`. Raises `NotProvisioned`."""
    folder = environment.config_folder(state)
    try:
        trusting = environment.trusting(state, url, os.environ)
    except LocalTrustError as error:
        raise NotProvisioned(str(error), error.next_step) from error
    variables = trusting | {"CAPE_ENCLAVE_HOST": url, "CAPE_LOCAL_CONFIG_DIR": str(folder)}
    checksum = hashlib.sha256(bundle.read_bytes()).hexdigest()
    _cape(variables, "signup", USERNAME)
    # Making an account takes a second, for its RSA key: once, and not again at each start.
    if not _has_account(plain_url, EXAMPLE):
        _cape(variables | {"CAPE_LOCAL_CONFIG_DIR": str(example_folder(state))}, "signup", EXAMPLE)
    try:
        renew_grant(state, bundle, plain_url)
    except BlindsightError as error:
        raise NotProvisioned(
            f"the local classifier could not be allowed to decrypt: {error}", error.next_step
        ) from error
    known = _read(folder / "function.json")
    if known.get("function_checksum") != checksum or not _deployed(variables, known.get("function_id", "")):
        known = json.loads(_cape(variables, "deploy", str(bundle), "--name", FUNCTION, "-o", "json"))
        files.write(folder / "function.json", json.dumps(known).encode(), mode=0o600)
    token_file = folder / "token"
    if not token_file.exists():
        made = json.loads(_cape(variables, "token", "create", "--name", USERNAME, "-o", "json"))
        files.write(token_file, made["token"].encode(), mode=0o600)
    return Provisioned(known["function_id"], checksum, token_file.read_text(encoding="utf-8"))


def renew_grant(state: Path, bundle: Path, url: str) -> None:
    """Sign, as the local owner, that this very classifier may decrypt what is encrypted for the local account.

    For days, and only when less than half of the last signature's are left. It is registered at `url`, so that it is
    listed among the account's tokens and can be revoked like them. Raises `BlindsightError`.
    """
    pem = (environment.config_folder(state) / "owner.key").read_bytes()
    key = cast("Ed25519PrivateKey", load_pem_private_key(pem, None))
    checksum = hashlib.sha256(bundle.read_bytes())
    file = grant_file(state)
    if _good_for(file, key, checksum.digest()) > _GRANT_LIFETIME / 2:
        return
    claims: dict[str, Any] = {"func_checksum": checksum.hexdigest(), "function_name": FUNCTION, "public": False}
    grant = tokens.mint(key, USERNAME, "deploy", lifetime=_GRANT_LIFETIME, **claims)
    expires = tokens.peek(grant).expires
    answer = Host(url).rest(
        "POST",
        "/v1/token",
        token=tokens.mint(key, USERNAME, "account", lifetime=_REGISTRATION_LIFETIME),
        body={
            "name": "classifier-grant",
            "description": "Lets the gateway's /classify decrypt for this account.",
            "function_id": "",
            "token": grant,
            "expiry": expires and expires.isoformat(),
        },
    )
    if answer.status_code != 201:
        raise CapeError("refused", str(json_object(answer).get("error")))
    files.write(file, grant.encode(), mode=0o600)


def _good_for(file: Path, key: Ed25519PrivateKey, checksum: bytes) -> timedelta:
    """How long the grant in `file` is still good for this owner and bundle; nothing if it is not."""
    try:
        token = tokens.verify(file.read_text(encoding="utf-8").strip(), key.public_key().public_bytes_raw())
        left = token.expires - datetime.now(UTC) if token.expires and token.deploy[0] == checksum else timedelta()
    except (CapeError, OSError, ValueError):
        return timedelta()
    return left if left <= _GRANT_LIFETIME else timedelta()


def _has_account(url: str, username: str) -> bool:
    try:
        return Host(url).rest("GET", f"/v1/user/{username}/key").status_code == 200
    except TransportError:
        return False


def _deployed(variables: Mapping[str, str], function_id: str) -> bool:
    text = _cape(variables, "list", "--limit", "1000", "-o", "json")
    # Like Cape's own command, it prints a sentence for an account without functions.
    listed = json.loads(text) if text.startswith("{") else {"deployments": []}
    return any(each["id"] == function_id for each in listed["deployments"])


def _cape(variables: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "blindsight_cli.cape.main", *arguments]
    # A session of its own: Ctrl-C is for `blindsight up`, which ends the stack in order.
    done = subprocess.run(
        command, env=dict(variables), capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[0].removeprefix("Error: ")
        raise NotProvisioned(
            f"the local Cape accounts could not be prepared: `cape {arguments[0]}`: {reason}",
            f"remove the folder {variables['CAPE_LOCAL_CONFIG_DIR']} to begin anew",
        )
    return done.stdout


def _read(path: Path) -> dict[str, str]:
    try:
        content: dict[str, str] = strict_json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content
