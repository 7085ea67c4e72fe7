"""What a verification checked, against what, and what it found: for people, logs and archives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from blindsight.attestation.claims import Claims
    from blindsight.attestation.document import AttestationDocument
    from blindsight.attestation.release import Part
    from blindsight.attestation.roots import EvidenceKind
    from blindsight.attestation.steps import Step

LEFT_OPEN: Mapping[Part, str] = MappingProxyType(
    {
        "code": "POLICY LEAVES OPEN: the code. Any program that the host starts is accepted, whatever it claims.",
        "function": "POLICY LEAVES OPEN: the function. Any bundle that the host puts into the enclave is accepted.",
    }
)
"""What a caller must know of an enclave of which the policy did not ask everything."""


PROVES_NOTHING: Mapping[EvidenceKind, str] = MappingProxyType(
    {
        "simulated": "SIMULATED ENCLAVE: the evidence proves nothing about the host that runs it.",
        "qemu-nitro-enclave": "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing.",
    }
)
"""What a caller must know of evidence that no hardware stands behind."""


@dataclass(frozen=True)
class VerificationReport:
    """The steps of one verification that passed. `at` is the time judged by, `archived` says whose time that was.

    `release` is the name in the policy of the release that was found, if it has one; `left_open` says what that release
    accepts any of.
    """

    kind: EvidenceKind
    at: datetime
    archived: bool
    steps: tuple[Step, ...]
    release: str | None
    left_open: tuple[Part, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the policy left open, a sentence for each part."""
        return tuple(LEFT_OPEN[part] for part in self.left_open)

    @property
    def notice(self) -> str | None:
        """What must be said of evidence that proves nothing; None for genuine evidence."""
        return PROVES_NOTHING.get(self.kind)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "notice": self.notice,
            "at": self.at.isoformat(),
            "archived": self.archived,
            "release": self.release,
            "left_open": list(self.left_open),
            "steps": [asdict(step) for step in self.steps],
        }

    def render(self) -> str:
        """Plain text ending in a line feed: a heading, the release if it has a name, what is left open, the steps."""
        heading = {
            "nitro": "Genuine Nitro evidence",
            "simulated": "SIMULATED evidence: it proves nothing about hardware",
            "qemu-nitro-enclave": "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing",
        }[self.kind]
        judged = "at the document's own time" if self.archived else "now"
        width = max(len(step.name) for step in self.steps)
        lines = [f"{heading}, verified {judged}, {self.at:%Y-%m-%d %H:%M:%SZ}"]
        lines += [f"Release {self.release}"] if self.release else []
        lines += self.warnings
        lines += [
            f"{step.number:3}. {step.name:<{width}}  {step.result:<9}  {step.checked} / {step.against}"
            for step in self.steps
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Verified:
    """A document that was verified. Two encodings of one document (ECDSA is malleable) give equal objects."""

    kind: EvidenceKind
    document: AttestationDocument
    claims: Claims | None
    root_sha256: str | None
    """None if nothing signed it, which only a release of kind `qemu-nitro-enclave` accepts."""
    report: VerificationReport
    until: datetime | None
    """When policy or release end, whichever comes first: from then on this must not be relied on any more."""
