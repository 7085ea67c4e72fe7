"""The report of a verification: each check, the values it compared with, and its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from blindsight.attestation.claims import Claims
    from blindsight.attestation.document import AttestationDocument
    from blindsight.attestation.release import Part, Release
    from blindsight.attestation.roots import EvidenceKind
    from blindsight.attestation.steps import Step

LEFT_OPEN: Mapping[Part, str] = MappingProxyType(
    {
        "code": "POLICY LEAVES OPEN: the code. Any program that the host starts is accepted, whatever it claims.",
        "function": "POLICY LEAVES OPEN: the function. Any bundle that the host puts into the enclave is accepted.",
    }
)
"""Warnings for parts that the policy left open."""


PROVES_NOTHING: Mapping[EvidenceKind, str] = MappingProxyType(
    {
        "simulated": "SIMULATED ENCLAVE: the evidence proves nothing about the host that runs it.",
        "qemu-nitro-enclave": "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing.",
    }
)
"""Notices for evidence that no hardware signed."""


@dataclass(frozen=True)
class VerificationReport:
    """The passed steps of one verification. `at` is the time of judgement; `archived` states that it is the document's
    own.

    `release` is the name of the matching release, if it has one; `left_open` lists the parts that this release leaves
    open.
    """

    kind: EvidenceKind
    at: datetime
    archived: bool
    steps: tuple[Step, ...]
    release: str | None
    left_open: tuple[Part, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each part that the policy left open."""
        return tuple(LEFT_OPEN[part] for part in self.left_open)

    @property
    def notice(self) -> str | None:
        """The notice for evidence that proves nothing; None for genuine evidence."""
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
        """Plain text ending in a line feed: a heading, the release's name, open parts, the steps."""
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
    """A verified document. Two encodings of one document (ECDSA is malleable) give equal objects."""

    kind: EvidenceKind
    document: AttestationDocument
    claims: Claims | None
    root_sha256: str | None
    """None for unsigned evidence, which only a release of kind `qemu-nitro-enclave` accepts."""
    report: VerificationReport
    release: Release
    """The release of the policy that accepts the document."""
    until: datetime | None
    """The earlier expiry of policy and release. DO NOT RELY ON THE RESULT AFTERWARDS."""
