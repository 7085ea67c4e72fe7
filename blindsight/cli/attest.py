"""`blindsight attest URL`: fetch evidence with a nonce of our own and verify it here, step by step."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx2
import rfc8785
import typer

from blindsight.attestation import verifier
from blindsight.attestation.policy import Policy
from blindsight.cli.classify import DEFAULT_URL, TIMEOUT_SECONDS
from blindsight.cli.console import err, fail, out
from blindsight.errors import BlindsightError

_NONCE_BYTES = 32


def attest(
    url: Annotated[str, typer.Argument(help="The gateway.")] = DEFAULT_URL,
    policy: Annotated[
        Path,
        typer.Option(help="Which enclaves you accept; `blindsight up` writes its own.", envvar="BLINDSIGHT_POLICY"),
    ] = Path(".blindsight/policy.json"),
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    save: Annotated[Path | None, typer.Option(help="Keep the attestation document in this file.")] = None,
) -> None:
    """Verify the enclave behind a gateway, without believing the gateway.

    Exit status: 0 if the evidence was accepted, 1 if it was refused or could not be had.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    try:
        rules = Policy.load(policy)
        fields = _fetch(url, nonce)
        document, key_configs = _decoded(fields, "document"), _decoded(fields, "key_configs")
        verified = verifier.verify(document, policy=rules, nonce=nonce, now=datetime.now(UTC))
        verifier.check_key_configs(verified, key_configs)
        verifier.check_model(verified, rfc8785.dumps(fields["model"]))
    except BlindsightError as error:
        step = getattr(error, "step", None)
        fail(f"refused{f' at step {step}' if step else ''}: {error} [{error.code}]", error.next_step)
    if save:
        save.write_bytes(document)
    if as_json:
        typer.echo(json.dumps(verified.report.to_dict()))
    else:
        out.print(verified.report.render(), markup=False, end="")
    if verified.kind == "simulated":
        err.print("SIMULATED ENCLAVE: this proves nothing about the host that runs it.", style="bold yellow")


def _fetch(url: str, nonce: bytes) -> dict[str, Any]:
    address = f"{url.rstrip('/')}/attestation"
    try:
        response = httpx2.get(address, params={"nonce": nonce.hex()}, timeout=TIMEOUT_SECONDS)
        fields: dict[str, Any] = response.json()
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        fail(f"{url} does not answer ({type(error).__name__})", "start it with `blindsight up`, or check the address")
    except ValueError:
        fail(f"{url} answers, but is no Blindsight gateway", "check the address")
    if response.status_code != 200:
        fail(f"{fields.get('title')}. {fields.get('detail')}", "ask the operator, or look at the gateway's log")
    return fields


def _decoded(fields: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(fields[name], validate=True)
    except (KeyError, TypeError, ValueError):
        fail(f"the gateway's answer has no usable '{name}'", "check that the address is a Blindsight gateway")
