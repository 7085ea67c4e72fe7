"""What a verification checked, against what, and what it found: for people, logs and archives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from blindsight.attestation.claims import Claims
    from blindsight.attestation.document import AttestationDocument
    from blindsight.attestation.roots import Kind


@dataclass(frozen=True)
class Step:
    """One step: what was `checked`, `against` what, and whether it passed or the policy did not ask for it."""

    number: int
    name: str
    checked: str
    against: str
    result: Literal["passed", "not asked"]


@dataclass(frozen=True)
class VerificationReport:
    """The steps of one verification that passed. `at` is the time judged by, `archived` says whose time that was."""

    kind: Kind
    at: datetime
    archived: bool
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "at": self.at.isoformat(),
            "archived": self.archived,
            "steps": [asdict(step) for step in self.steps],
        }

    def render(self) -> str:
        """Plain text, one line a step, ending in a line feed."""
        heading = {
            "nitro": "Genuine Nitro evidence",
            "simulated": "SIMULATED evidence: it proves nothing about hardware",
        }[self.kind]
        judged = "at the document's own time" if self.archived else "now"
        width = max(len(step.name) for step in self.steps)
        lines = [f"{heading}, verified {judged}, {self.at:%Y-%m-%d %H:%M:%SZ}"]
        lines += [
            f"{step.number:3}. {step.name:<{width}}  {step.result:<9}  {step.checked} / {step.against}"
            for step in self.steps
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Verified:
    """A document that was verified. Two encodings of one document (ECDSA is malleable) give equal objects."""

    kind: Kind
    document: AttestationDocument
    claims: Claims | None
    root_sha256: str
    report: VerificationReport
