"""The contents of a release file, as an in-toto Statement v1 (https://in-toto.io/Statement/v1) in canonical JSON (RFC
8785).

Every artifact is a subject with two digests; the predicate states the role and the measurements of each, and the policy
with which a caller accepts it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import rfc8785

from blindsight import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindsight.attestation.policy import Policy
    from blindsight.attestation.roots import EvidenceKind

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:blindsight:release:1"
"""Ends in the version of the predicate. Members may be added within a version; readers skip what they do not know."""

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
"""Of the statement in a DSSE envelope (in-toto attestation specification, envelope layer)."""


@dataclass(frozen=True)
class Subject:
    """An artifact of the release: its file name, and its digests in lower-case hexadecimal."""

    name: str
    sha256: str
    sha384: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "digest": {"sha256": self.sha256, "sha384": self.sha384}}


@dataclass(frozen=True)
class Function:
    """A function bundle: its file, the function checksum (SHA-256) and the model digest, hexadecimal."""

    file: str
    function_checksum: str
    model_digest: str

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Kernel:
    """The kernel of an enclave image: its name, its version and the SHA-256 of the kernel file, hexadecimal."""

    name: str
    version: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Measurement:
    """The expected evidence of one enclave: SHA-384 values by PCR index, hexadecimal.

    `file` and `kernel` belong to an enclave image file; a simulated enclave has neither, and is measured from its
    sources with the Python that `python` names. `variant` is `cape` or `classifier`; `function` is the checksum of the
    bundle whose PCR 16 is listed.
    """

    kind: EvidenceKind
    variant: str
    function: str
    pcrs: Mapping[int, str]
    file: str | None = None
    kernel: Kernel | None = None
    python: str | None = None

    def to_json(self) -> dict[str, Any]:
        members: dict[str, Any] = {
            "kind": self.kind,
            "variant": self.variant,
            "function": self.function,
            "pcrs": {str(index): value for index, value in sorted(self.pcrs.items())},
        }
        if self.file is not None:
            members["file"] = self.file
        if self.kernel is not None:
            members["kernel"] = self.kernel.to_json()
        if self.python is not None:
            members["python"] = self.python
        return members


@dataclass(frozen=True)
class ReleaseFile:
    """A release. Maps of digests are SHA-256 in lower-case hexadecimal by name; `policy` accepts its enclaves.

    `wheel` and `sbom` are names of subjects. `page` has the files of the page as a gateway serves them,
    `requirements` the lists of locked packages, `images` the descriptions of the enclave images. `unknown` names the
    members of the predicate that this version does not know.
    """

    version: str
    subjects: tuple[Subject, ...]
    formats: Mapping[str, str]
    functions: tuple[Function, ...]
    measurements: tuple[Measurement, ...]
    wheel: str
    sbom: str
    page: Mapping[str, str]
    requirements: Mapping[str, str]
    images: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    policy: Policy | None = None
    unknown: tuple[str, ...] = ()

    def subject(self, name: str) -> Subject | None:
        """The subject of this name."""
        return next((subject for subject in self.subjects if subject.name == name), None)

    def named(self, sha256: str) -> Subject | None:
        """The subject with this digest."""
        return next((subject for subject in self.subjects if subject.sha256 == sha256), None)

    def encode(self) -> bytes:
        """The statement as canonical JSON, which `parse` reads."""
        predicate: dict[str, Any] = {
            "release": {"name": "blindsight", "version": self.version},
            "formats": dict(self.formats),
            "functions": [function.to_json() for function in self.functions],
            "measurements": [measurement.to_json() for measurement in self.measurements],
            "wheel": self.wheel,
            "sbom": self.sbom,
            "page": dict(self.page),
            "requirements": dict(self.requirements),
            "images": dict(self.images),
        }
        if self.policy is not None:
            predicate["policy"] = strict_json.loads(self.policy.to_json())
        statement: dict[str, Any] = {
            "_type": STATEMENT_TYPE,
            "subject": [subject.to_json() for subject in self.subjects],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        }
        return rfc8785.dumps(statement)
