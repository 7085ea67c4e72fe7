"""`cape signup`, `cape login`: an account is an owner key; there are no passwords."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from blindsight.cape import tokens
from blindsight.cape.constants import USERNAME
from blindsight.cape.fingerprint import fingerprint
from blindsight.errors import CapeError, TransportError
from blindsight_cli.cape import device, names
from blindsight_cli.cape.console import CliError, arguments_error, log, out
from blindsight_cli.cape.context import mint_login, refused
from blindsight_cli.cape.store import Login, expiry_of
from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from blindsight_cli.cape.context import Context

PROOF_LIFETIME: Final = timedelta(minutes=5)


def signup(context: Context) -> None:
    """Create an account, and an owner key if there is none."""
    if len(context.arguments) > 1:
        raise arguments_error("signup takes one username")
    if not context.arguments:
        raise CliError("you must pass a username: cape signup NAME", usage=True)
    username = names.username(context.arguments[0], "signup failed")
    host, store = context.host, context.store
    is_new = store.owner_key() is None
    key = store.make_owner_key()
    if is_new:
        log(f"Owner Key ➜ {store.owner_key_file}, {fingerprint(key.public_key().public_bytes_raw())}")
        log("The file's holder acts as you; without it no party can deploy in your name. Keep a copy in a safe place.")
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
    before = _last_username(context)
    if response.status_code != 201:
        raise CliError(f"signup failed: {refused(response)}")
    _finish(context, _owners_login(key, username))
    context.show_owner(username)
    if before == username:
        log(f"The account {username} exists already; this machine uses it.")
    elif before:
        log(f"This machine now uses the account {username}; before, it used {before} (cape login --username {before}).")


def login(context: Context) -> None:
    """Log in with the owner key, or else with the approval of the machine that has it."""
    if context.arguments:
        raise arguments_error("login does not take any arguments")
    if wanted := context.text("username"):
        names.username(wanted, "login failed")
    approve, deny = context.text("approve"), context.text("deny")
    if approve and deny:
        raise CliError("give either --approve or --deny", usage=True)
    if approve or deny:
        device.decide(context, approve or deny, allow=bool(approve))
        return
    key = context.store.owner_key()
    if key is None:
        granted, owner = device.login_by_code(context)
        # Confirmed by this machine's user, so not a first use.
        context.store.owners.keep(context.host.url, granted.username, fingerprint(owner))
        _finish(context, granted)
        return
    username = wanted or _last_username(context)
    if not username:
        raise CliError("no account to log in to: give its name with --username, or sign up with `cape signup NAME`")
    _finish(context, _owners_login(key, username))
    context.show_owner(username)


def _last_username(context: Context) -> str:
    try:
        username = context.store.login().username
    except CliError:
        return ""
    return username if USERNAME.fullmatch(username) else ""


def _owners_login(key: Ed25519PrivateKey, username: str) -> Login:
    token = mint_login(key, username)
    return Login(access_token=token, expiry=expiry_of(token), id_token=token)


def _finish(context: Context, login: Login) -> None:
    """Store the login, and replace the stored Cape Key by the account's."""
    context.store.save_login(login)
    context.store.forget_key()
    if not login.id_token:
        out("no id token")
    try:
        context.fetch_key(login.access_token)
    except (CapeError, TransportError) as error:
        log(printable(str(error)))
        out("Unable to fetch cape key, try running 'cape key' after login")
    out("Congratulations, you're all set!")
