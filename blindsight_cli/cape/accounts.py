"""`cape signup`, `cape login`: an account is its owner key; there are no passwords."""

from __future__ import annotations

import base64
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from blindsight.cape import tokens
from blindsight.cape.protocol import USERNAME
from blindsight.client.cape import json_object
from blindsight.errors import CapeError, TransportError
from blindsight_cli.cape.console import CliError, arguments_error, log, out, printable
from blindsight_cli.cape.context import mint_login, refused
from blindsight_cli.cape.store import Login, expiry_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from blindsight_cli.cape.context import Context

PROOF_LIFETIME: Final = timedelta(minutes=5)
MAX_USERNAME: Final = 39

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_SCOPE: Final = "openid profile email offline_access"
_DEFAULT_INTERVAL: Final = 5
"""Seconds between two polls where the host states none (RFC 8628, section 3.2)."""


def signup(context: Context) -> None:
    """Make the owner key if there is none, and an account for it."""
    if len(context.arguments) > 1:
        raise arguments_error("signup takes one username")
    username = context.arguments[0] if context.arguments else clean_username(context.environ.get("USER", ""))
    if not USERNAME.fullmatch(username):
        raise CliError(f"signup failed: a username has 1 to {MAX_USERNAME} letters, digits and inner dashes")
    host, store = context.host, context.store
    is_new = store.owner_key() is None
    key = store.make_owner_key()
    if is_new:
        log(f"Owner Key ➜ {store.owner_key_file}")
        log("Whoever has this file is you; without it nobody can deploy in your name. Keep a copy in a safe place.")
    response = host.rest(
        "POST",
        "/v1/accounts",
        token=context.text("api-token") or context.environ.get("BLINDSIGHT_API_TOKEN"),
        body={
            "username": username,
            "owner_public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
            "proof": tokens.mint(key, username, "account", lifetime=PROOF_LIFETIME),
        },
    )
    if response.status_code != 201:
        raise CliError(f"signup failed: {refused(response)}")
    _finish(context, _owners_login(key, username))


def login(context: Context) -> None:
    """Log in with the owner key, or, without one, with the approval of the machine that has it."""
    if context.arguments:
        raise arguments_error("login does not take any arguments")
    approve, deny = context.text("approve"), context.text("deny")
    if approve and deny:
        raise CliError("give either --approve or --deny", usage=True)
    if approve or deny:
        _decide(context, approve or deny, allow=bool(approve))
        return
    key = context.store.owner_key()
    if key is None:
        _finish(context, _device_login(context))
        return
    username = context.text("username") or _last_username(context)
    if not USERNAME.fullmatch(username):
        raise CliError("no account to log in to: give its name with --username, or sign up with `cape signup`")
    _finish(context, _owners_login(key, username))


def clean_username(text: str) -> str:
    """What the name of a system's user becomes as a username; may be empty."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:MAX_USERNAME].strip("-")


def _last_username(context: Context) -> str:
    try:
        return context.store.login().username
    except CliError:
        return ""


def _owners_login(key: Ed25519PrivateKey, username: str) -> Login:
    access, identity = mint_login(key, username)
    return Login(access_token=access, expiry=expiry_of(access), id_token=identity)


def _finish(context: Context, login: Login) -> None:
    """Keep the login, and with it its Cape Key instead of whatever key was there."""
    context.store.save_login(login)
    context.store.forget_key()
    if not login.id_token:
        out("no id token")
    try:
        context.fetch_key(login.access_token)
        context.show_owner(login.username)
    except (CapeError, TransportError) as error:
        log(printable(str(error)))
        out("Unable to fetch cape key, try running 'cape key' after login")
    out("Congratulations, you're all set!")


def _device_login(context: Context) -> Login:
    """The device flow of RFC 8628."""
    settings = context.settings
    host = context.auth_host
    started = json_object(
        host.rest(
            "POST",
            "/oauth/device/code",
            form={"client_id": settings.client_id, "scope": _SCOPE, "audience": settings.audience},
        )
    )
    if not isinstance(started.get("device_code"), str) or "error" in started:
        raise _authorization_failed(started)
    out(f"Your CLI confirmation code is: {printable(str(started.get('user_code')))}")
    address = started.get("verification_uri_complete") or started.get("verification_uri")
    out(f"Visit this URL to complete the login process: {printable(str(address))}")
    interval = started.get("interval")
    interval = interval if isinstance(interval, int) and interval > 0 else _DEFAULT_INTERVAL
    form = {
        "client_id": settings.client_id,
        "client_secret": "",
        "device_code": started["device_code"],
        "grant_type": _GRANT,
    }
    while True:
        answer = json_object(host.rest("POST", "/oauth/token", form=form))
        match answer.get("error"):
            case "authorization_pending":
                pass
            case "slow_down":
                interval *= 2
            case "access_denied":
                raise CliError("access denied by user")
            case None if isinstance(answer.get("access_token"), str):
                return _granted(answer)
            case _:
                raise _authorization_failed(answer)
        time.sleep(interval)


def _granted(answer: dict[str, Any]) -> Login:
    texts = {name: answer[name] for name in Login.__dataclass_fields__ if isinstance(answer.get(name), str)}
    login = Login(**texts)
    seconds = answer.get("expires_in")
    if isinstance(seconds, int):
        expiry = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    else:
        expiry = expiry_of(login.access_token)
    return Login(**(texts | {"expiry": expiry}))


def _authorization_failed(answer: dict[str, Any]) -> CliError:
    text = f"authorization failed: {answer.get('error') or 'the host does not answer as a login host does'}"
    if answer.get("error_description"):
        text += f": {answer['error_description']}"
        if answer.get("error_uri"):
            text += f" (see {answer['error_uri']})"
    return CliError(text)


def _decide(context: Context, user_code: str, *, allow: bool) -> None:
    """Let another machine in by signing tokens for it, or turn it away."""
    key, username = context.owner
    own, _ = mint_login(key, username)
    body: dict[str, object] = {"user_code": user_code, "allow": allow}
    if allow:
        body["access_token"], body["id_token"] = mint_login(key, username)
    response = context.auth_host.rest("POST", "/oauth/device/decision", token=own, body=body)
    if response.status_code >= 300:
        raise CliError(f"{'approval' if allow else 'denial'} failed: {refused(response)}")
    if allow:
        context.show_owner(username)
    out(f"Login with code {user_code} {'approved' if allow else 'denied'}.")
