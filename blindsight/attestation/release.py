"""One release of an enclave in a policy: roots, measurements, function, model, version, expiry.

A release that would accept more than it appears to is refused: one that neither pins code or function nor leaves it
open explicitly, an empty list, a measurement of zeros.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from blindsight.attestation.claims import CLAIMS_PCR
from blindsight.attestation.document import MAX_PCRS, PCR_BYTES
from blindsight.attestation.roots import AWS_NITRO_ROOT_G1, EMULATED, NOT_FINGERPRINTS, EvidenceKind
from blindsight.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DIGEST_BYTES = 32

Part = Literal["code", "function"]
"""The parts that a release pins or leaves open explicitly."""

_AWS = frozenset({AWS_NITRO_ROOT_G1})
_NAME = re.compile("[ -~]{1,64}")
_VERSION = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){0,3}")
_VERSION_PARTS = 4


@dataclass(frozen=True)
class Release:
    """The accepted values of one release of an enclave. All hashes are lower-case hexadecimal. Raises `PolicyError`.

    `roots` are the SHA-256 of root certificates (DER): AWS's by default, none for QEMU's evidence, which is unsigned.
    `pcrs` maps an index to the accepted SHA-384 values; a document must contain every listed index.
    `function_checksums` and `model_digests` are SHA-256 values; None accepts any. `function_in_image` states that the
    image contains the bundle, so that PCR 0 covers the function. `any_code` and `any_function` leave a part open that
    is not pinned. `version` is one to four numbers separated by dots. From `expires` (UTC, whole seconds) on, the
    release is not accepted.
    """

    kind: EvidenceKind
    roots: frozenset[str] = _AWS
    pcrs: Mapping[int, frozenset[str]] = field(default_factory=dict)
    function_checksums: frozenset[str] | None = None
    model_digests: frozenset[str] | None = None
    function_in_image: bool = False
    any_code: bool = False
    any_function: bool = False
    name: str | None = None
    version: str | None = None
    expires: datetime | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(EvidenceKind):
            raise PolicyError("invalid_policy", f"No kind of evidence is called {self.kind!r}.")
        if self.kind == EMULATED:
            if self.roots and self.roots is not _AWS:
                raise PolicyError("invalid_policy", f"roots: evidence of kind {EMULATED!r} is unsigned and has none.")
            object.__setattr__(self, "roots", frozenset())
        elif not self.roots or (self.kind != "nitro" and self.roots is _AWS):
            raise PolicyError("no_roots", "The release lists no root of trust.")
        roots = frozenset(hash_of(root, DIGEST_BYTES, "a root") for root in self.roots)
        for root in roots:
            _check_root(root, self.kind)
        pcrs = {
            _index(index): _hashes(values, PCR_BYTES, f"PCR {index}") for index, values in (self.pcrs or {}).items()
        }
        # Copies, so that a release cannot be widened through an object that its maker still holds.
        object.__setattr__(self, "roots", roots)
        object.__setattr__(self, "pcrs", MappingProxyType(pcrs))
        for name in ("function_checksums", "model_digests"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _hashes(values, DIGEST_BYTES, name))
        if self.name is not None and not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise PolicyError("invalid_policy", "name: not 1 to 64 printable ASCII characters.")
        if self.version is not None:
            version_key(self.version, "version")
        if self.expires is not None:
            object.__setattr__(self, "expires", whole_seconds(self.expires, "expires"))
        self._check_openness()

    def _check_openness(self) -> None:
        if not self.pcrs and not (self.any_code and self.any_function):
            raise PolicyError("no_measurements", "The release lists no PCR, so it would accept any code.")
        if self._pins_code and self.any_code:
            raise PolicyError("invalid_policy", "any_code: the code is pinned, so it is not left open.")
        if not self._pins_code and not self.any_code:
            raise PolicyError("code_not_pinned", "Neither PCR 0 nor PCR 1 and 2 pin the code: any would be accepted.")
        if self.function_in_image and 0 not in self.pcrs:
            raise PolicyError("invalid_policy", "function_in_image: PCR 0 is not listed, which would cover the image.")
        if self._pins_function and self.any_function:
            raise PolicyError("invalid_policy", "any_function: the function is pinned, so it is not left open.")
        if not self._pins_function and not self.any_function:
            raise PolicyError("function_not_pinned", "Nothing pins the function: any bundle would be accepted.")

    @property
    def _pins_code(self) -> bool:
        return 0 in self.pcrs or {1, 2} <= self.pcrs.keys()

    @property
    def _pins_function(self) -> bool:
        return CLAIMS_PCR in self.pcrs or self.function_checksums is not None or self.function_in_image

    @property
    def left_open(self) -> tuple[Part, ...]:
        """The parts that this release leaves open: `"code"`, `"function"`, in this order."""
        parts: tuple[tuple[Part, bool], ...] = (("code", self.any_code), ("function", self.any_function))
        return tuple(part for part, is_open in parts if is_open)


def hash_of(value: object, size: int, where: str) -> str:
    """`value` as lower-case hexadecimal digits of `size` bytes that are not all zero. Raises `PolicyError`."""
    text = value.lower() if isinstance(value, str) else ""
    if not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text):
        raise PolicyError("invalid_policy", f"{where}: not {2 * size} hexadecimal digits.")
    if not text.strip("0"):
        raise PolicyError("zero_measurement", f"{where}: all zeros.")
    return text


def version_key(version: object, where: str) -> tuple[int, ...]:
    """The key for comparing versions: four numbers, missing ones zero. Raises `PolicyError`."""
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise PolicyError("invalid_policy", f"{where}: not one to four numbers with dots between them.")
    numbers = [int(part) for part in version.split(".")]
    return tuple(numbers + [0] * (_VERSION_PARTS - len(numbers)))


def whole_seconds(value: object, where: str) -> datetime:
    """`value` in UTC. Raises `PolicyError` if it is naive or has fractions of a second, which a policy file cannot
    represent.
    """
    if not isinstance(value, datetime) or value.tzinfo is None or value.microsecond:
        raise PolicyError("invalid_policy", f"{where}: not a time in UTC and whole seconds.")
    return value.astimezone(UTC)


def _check_root(root: str, kind: EvidenceKind) -> None:
    if root in NOT_FINGERPRINTS:
        raise PolicyError(
            "not_a_certificate_fingerprint", f"The root {root[:16]}... is the hash of {NOT_FINGERPRINTS[root]}."
        )
    if root == AWS_NITRO_ROOT_G1 and kind != "nitro":
        raise PolicyError("invalid_policy", f"The root {root[:16]}... is AWS's and cannot be of kind {kind!r}.")


def _hashes(values: Iterable[object], size: int, where: str) -> frozenset[str]:
    hashes = frozenset(hash_of(value, size, where) for value in values)
    if not hashes:
        raise PolicyError("empty_allow_list", f"{where}: no accepted value.")
    return hashes


def _index(index: object) -> int:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < MAX_PCRS:
        raise PolicyError("invalid_policy", f"A PCR index is not an integer from 0 to {MAX_PCRS - 1}.")
    return index
