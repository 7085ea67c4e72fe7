"""`cape key`, `cape encrypt`, `cape get-pcrs`: keys and measurements from verified documents."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from blindsight.cape import envelope
from blindsight.errors import BlindsightError, CapeError
from blindsight_cli.cape import names
from blindsight_cli.cape.console import CliError, arguments_error, go_json, log, out, out_bytes
from blindsight_cli.cape.context import read_input
from blindsight_cli.cape.functions import piped_input
from blindsight_cli.cape.store import username_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from blindsight_cli.cape.context import Context

COMPARE_WITH = "Compare with `python -m enclave_runtime measure --bundle FILE` of the release you trust."


def key(context: Context) -> None:
    """Print the account's Cape Key in PEM."""
    if context.arguments:
        raise arguments_error("key does not take any arguments")
    token = context.token
    public_key = _load(context.own_key(token))
    context.show_owner(username_of(token))
    out_bytes(public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def encrypt(context: Context) -> None:
    """Encrypt a value for the functions of one user."""
    if len(context.arguments) > 1:
        raise arguments_error("you must pass in only one input data (stdin, string or filename)")
    if context.text("file"):
        plaintext = read_input(context.text("file"))
    elif context.arguments:
        plaintext = os.fsencode(context.arguments[0])
    else:
        plaintext = piped_input() or b""
    if not plaintext:
        raise CliError("unable to encrypt: input is empty")
    _ = context.host  # Without one, that is what has to be said first.
    username = names.username(context.text("username") or _own_username(context), "unable to encrypt")
    public_key = _load(context.user_key(username))
    out_bytes(envelope.encrypt(public_key, plaintext) + b"\n")


def get_pcrs(context: Context) -> None:
    """Print the measurements in the current evidence of the host's enclave."""
    if context.arguments:
        raise arguments_error("get-pcrs does not take any arguments")
    try:
        with context.host.connect("/v1/key", context.token, context.trust) as connection:
            pcrs = connection.document.pcrs
    except BlindsightError as error:
        raise CliError(f"unable to get PCRs: {error}") from error
    # PCR 0 to 2 are every enclave's; others are zero unless its operator or its runtime measured something.
    shown = {index: value.hex() for index, value in sorted(pcrs.items()) if index <= 2 or any(value)}
    if context.as_json:
        out(go_json({str(index): value for index, value in shown.items()}))
    else:
        for index, value in shown.items():
            log(f"PCR{index}:\t{value}")
    log(COMPARE_WITH)


def _own_username(context: Context) -> str:
    try:
        username = username_of(context.store.login().id_token)
    except CliError:
        username = ""
    if not username:
        file = context.settings.auth_file
        raise CliError(f"couldn't get username from {file} id token, are you logged in? (run `cape login`)")
    return username


def _load(der: bytes) -> RSAPublicKey:
    try:
        return envelope.load_public_key(der)
    except CapeError as error:
        raise CliError(f"error: {error}") from error
