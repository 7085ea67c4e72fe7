"""`blindsight classify --sealed`: the gateway passes on what only the verified enclave can open."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from blindsight.client import Client
from blindsight.errors import BlindsightError, EvidenceError
from blindsight.problems import Problem
from blindsight_cli.console import err, fail

if TYPE_CHECKING:
    from blindsight.client import Classification

DEFAULT_POLICY: Final = Path(".blindsight/policy.json")
"""Where `blindsight up` writes its own."""

_PCR0_DIGITS = 16


def connect(url: str, *, policy: Path | None, token: str | None, proxy: str | None, timeout: float) -> Client:
    """A client that has verified the enclave, and said so on standard error. Exits if it must not be used."""
    if policy is None and not DEFAULT_POLICY.exists():
        fail(
            f"--sealed needs a policy, and there is no {DEFAULT_POLICY}",
            "give --policy FILE, or set BLINDSIGHT_POLICY as the banner of `make run` prints it",
        )
    try:
        client = Client(url, policy=policy or DEFAULT_POLICY, api_token=token, proxy=proxy, timeout=timeout)
        client.verify()
    except Problem as problem:
        fail(f"{problem.kind.title}. {problem.detail}", "ask the operator, or look at the gateway's log")
    except BlindsightError as error:
        stop(error)
    recipient = client.recipient
    if recipient is not None:
        pcr0 = recipient.measurements.get("0", "")[:_PCR0_DIGITS]
        err.print(f"sealed to a verified {recipient.verified.kind} enclave, PCR 0 {pcr0}…")
        for warning in recipient.report.warnings:
            err.print(warning, style="bold yellow")
    return client


def ask(client: Client, content: bytes, top_k: int | None, *, with_receipt: bool) -> dict[str, Any]:
    """The answer in the plain lane's form, or `{"problem": …}`. Exits where no other photo could fare better."""
    try:
        return _render(client.classify(content, top_k=top_k, with_receipt=with_receipt))
    except Problem as problem:
        return {"problem": problem.body()}
    except BlindsightError as error:
        stop(error)


def stop(error: BlindsightError) -> NoReturn:
    """Say what was refused, and exit."""
    step = f"refused at step {error.step}: " if isinstance(error, EvidenceError) else ""
    fail(f"{step}{error} [{error.code}]", error.next_step)


def _render(answer: Classification) -> dict[str, Any]:
    return {
        "predictions": [asdict(prediction) for prediction in answer.predictions],
        "model": answer.model,
        "image": answer.image,
        "timings_ms": answer.timings_ms,
        "enclave": answer.recipient.summary(),
        **{name: answer.archive[name] for name in ("receipt", "evidence") if answer.archive},
        **({"notice": " ".join(answer.notices)} if answer.notices else {}),
    }
