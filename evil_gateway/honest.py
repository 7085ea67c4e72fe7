"""Checks before the demonstration: the client accepts the honest gateway, and the simulated root is its enclave's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from blindsight import Client, files, strict_base64, strict_json
from blindsight.attestation import UnsafeAcceptAnything, verify_archived
from blindsight.client import routes
from blindsight.errors import BlindsightError, EvidenceError
from blindsight.problems import Problem
from enclave_runtime.evidence.simulated_pki import ROOT_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from blindsight.attestation import Policy

_MAX_ROOT_BYTES: Final = 1 << 16
_TIMEOUT_SECONDS: Final = 30.0


class NothingToShowError(Exception):
    """The demonstration would show nothing. `next_step` tells the user how to run one that does."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step


def root_folder(given: Path) -> Path | None:
    """The folder with the simulated root: `given`, or its subfolder `enclave`, as in a stack's state; else None."""
    return next((folder for folder in (given, given / "enclave") if (folder / ROOT_FILE).is_file()), None)


def has_root_of(folder: Path, url: str) -> bool:
    """Whether the evidence of the gateway at `url` is signed under the root certificate in `folder`.

    Raises `NothingToShowError` if root or evidence cannot be read, `BlindsightError` for a malformed document, and
    `httpx2.HTTPError`.
    """
    try:
        pem = files.read(folder / ROOT_FILE, _MAX_ROOT_BYTES)
        root = x509.load_pem_x509_certificate(pem[max(pem.find(b"-----BEGIN CERTIFICATE"), 0) :])
    except (OSError, ValueError) as error:
        what = f"{folder / ROOT_FILE} cannot be used"
        raise NothingToShowError(what, "give --state of a stack, as its user") from error
    with routes.blocking(url, timeout=_TIMEOUT_SECONDS) as client:
        answer = client.get("/attestation").raise_for_status().content
    try:
        document = strict_base64.decode(strict_json.loads(answer)["document"])
    except (KeyError, TypeError, ValueError) as error:
        raise NothingToShowError(f"{url} answers, but is no Blindsight gateway", "check --url") from error
    shown = verify_archived(document, policy=UnsafeAcceptAnything()).root_sha256
    return shown == root.fingerprint(hashes.SHA256()).hex()


def require_believed(url: str, policy: Policy, photo: bytes) -> None:
    """Classify `photo` through the gateway at `url` while it plays no trick.

    Raises `NothingToShowError` if the client refuses the evidence or the answer.
    """
    try:
        with Client(url, policy=policy) as client:
            client.classify(photo, with_receipt=True)
    except Problem as problem:
        raise NothingToShowError(
            f"the honest gateway answers no question: {problem.kind.title}. {problem.detail}",
            "give another --photo, or mend what it says",
        ) from problem
    except BlindsightError as error:
        step = f"at step {error.step}: " if isinstance(error, EvidenceError) else ""
        raise NothingToShowError(
            f"the honest gateway itself is refused ({step}{error.code}), so no trick would show anything. {error}",
            "give --policy of the stack behind it, as `blindsight up` writes it to policy.json in its state folder",
        ) from error
