"""Logins without an owner key (RFC 8628): `cape login` on the new device, `cape login --approve` on the machine with
the key.

Each side shows the other and asks for confirmation, because a code identifies neither the device nor the account.
"""

from __future__ import annotations

import re
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from blindsight.cape import tokens
from blindsight.cape.fingerprint import fingerprint
from blindsight.client.cape import json_object
from blindsight_cli.cape.console import CliError, ask, log, out
from blindsight_cli.cape.context import mint_login, refused
from blindsight_cli.cape.store import Login, expiry_of
from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from blindsight_cli.cape.context import Context

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_SCOPE: Final = "openid profile email offline_access"
_DEFAULT_INTERVAL: Final = 5
"""Seconds between two polls where the host states none (RFC 8628, section 3.2)."""
_MAX_NAME: Final = 64


def login_by_code(context: Context) -> tuple[Login, bytes]:
    """Request a login with a code. Returns the login that the owner's machine granted, and its owner's public key;
    confirmed, not stored.
    """
    login = _granted(_poll(context))
    return login, _confirmed(context, login)


def decide(context: Context, user_code: str, *, allow: bool) -> None:
    """Approve another machine by signing a token for it, or deny it."""
    key, username = context.owner
    own = mint_login(key, username)
    host = context.auth_host
    body: dict[str, object] = {"user_code": user_code, "allow": allow}
    if allow:
        response = host.rest("GET", f"/oauth/device/login?{urlencode({'user_code': user_code})}", token=own)
        if response.status_code != 200:
            raise CliError(f"approval failed: {refused(response)}")
        _show_device(json_object(response), username, fingerprint(key.public_key().public_bytes_raw()))
        if not context.is_set("yes") and not ask("Is that the machine in front of you? Let it in?"):
            raise CliError("approval failed: it was not confirmed; --yes does so in a script")
        body["access_token"] = mint_login(key, username)
    response = host.rest("POST", "/oauth/device/decision", token=own, body=body)
    if response.status_code >= 300:
        raise CliError(f"{'approval' if allow else 'denial'} failed: {refused(response)}")
    out(f"Login with code {user_code} {'approved' if allow else 'denied'}.")


def _poll(context: Context) -> dict[str, Any]:
    """The host's answer once the owner has approved."""
    settings = context.settings
    host = context.auth_host
    device = {"device_name": _own_name(), "login_hint": context.text("username")}
    form = {"client_id": settings.client_id, "scope": _SCOPE, "audience": settings.audience}
    form |= {name: value for name, value in device.items() if value}
    started = json_object(host.rest("POST", "/oauth/device/code", form=form))
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
                return answer
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


def _confirmed(context: Context, login: Login) -> bytes:
    """The owner's attested public key, after this machine's user has confirmed the account.

    Another account that knew the code could have approved it; everything encrypted here would then be for that account.
    Raises `CliError`.
    """
    username, wanted = login.username, context.text("username")
    if not username:
        raise CliError("login refused: it names no user; nothing was kept")
    if wanted and username.lower() != wanted.lower():
        raise CliError(f"login refused: it is of {username}, not of {wanted}; nothing was kept")
    owner = context.host.user_key(username, context.trust).owner
    # The host delivered it; that the owner signed it is what counts.
    if tokens.verify(login.access_token, owner).username != username:
        raise CliError("login refused: it is not what the owner signed; nothing was kept")
    found, expected = fingerprint(owner), context.text("owner")
    log(f"This machine was let in as {username}.")
    log(f"Owner Key ➜ {found}")
    if expected and expected != found:
        raise CliError(f"login refused: the owner key is another than {expected}; nothing was kept")
    if (
        not expected
        and not context.is_set("yes")
        and not ask("Is that you, and the key that your other machine shows?")
    ):
        raise CliError("login not confirmed, nothing was kept; in a script, say whose login it is with --owner")
    return owner


def _show_device(device: dict[str, Any], username: str, owner: str) -> None:
    def shown(name: str, missing: str) -> str:
        return printable(str(device.get(name) or missing))

    log(f"A machine asks to act as {username} for {tokens.LOGIN_LIFETIME.days} days:")
    for label, text in (
        ("code", shown("user_code", "unknown")),
        ("calls itself", shown("device_name", "nothing")),
        ("asks from", shown("address", "an unknown address")),
        ("since", shown("created_at", "an unknown time")),
        ("owner key", owner),
    ):
        log(f"  {label:<13} {text}")


def _own_name() -> str:
    """This machine's name for itself, in characters that a host displays."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname()).strip("-._")[:_MAX_NAME]


def _authorization_failed(answer: dict[str, Any]) -> CliError:
    text = f"authorization failed: {answer.get('error') or 'the host does not answer as a login host does'}"
    if answer.get("error_description"):
        text += f": {answer['error_description']}"
        if answer.get("error_uri"):
            text += f" (see {answer['error_uri']})"
    return CliError(text)
