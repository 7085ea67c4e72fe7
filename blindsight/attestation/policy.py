"""Policies: the accepted releases of enclaves, recalled measurements, and the maximum age of evidence.

    policy = Policy(releases=(Release(kind="nitro", pcrs={0: frozenset({"bda746..."})}, function_in_image=True),))
    policy = Policy.load(Path("policy.json"))

`policy_file.py` reads and writes policy files, `matching.py` matches documents with policies; docs/policy.md describes
both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blindsight.attestation import policy_file
from blindsight.attestation.document import PCR_BYTES
from blindsight.attestation.release import DIGEST_BYTES, Part, Release, hash_of, version_key, whole_seconds
from blindsight.attestation.roots import AWS_NITRO_ROOT_G1, EMULATED, EvidenceKind
from blindsight.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

DEFAULT_MAX_AGE = 300
"""Seconds. Evidence is made for a nonce within one round trip; dstack allows 3600, Marlin 300."""

DEFAULT_MAX_FUTURE_SKEW = 60
"""Seconds by which the enclave's clock may be ahead of the verifier's."""

MAX_SECONDS = 24 * 3600
"""Maximum of both limits: the lifetime of an instance's certificate, after which no document verifies live."""


@dataclass(frozen=True)
class Policy:
    """The releases that a verifier accepts. Ages are whole seconds. Raises `PolicyError`.

    `refuse` lists recalled values, which are refused even if a release accepts them: PCR values (96 hexadecimal
    digits), function checksums and model digests (64). Releases below `minimum_version`, or without a version, are not
    accepted. From `expires` (UTC, whole seconds) on, the policy refuses everything.
    """

    releases: tuple[Release, ...]
    refuse: frozenset[str] = frozenset()
    minimum_version: str | None = None
    expires: datetime | None = None
    max_age: int = DEFAULT_MAX_AGE
    max_future_skew: int = DEFAULT_MAX_FUTURE_SKEW

    def __post_init__(self) -> None:
        if not self.releases:
            raise PolicyError("invalid_policy", "releases: no release is accepted.")
        kinds: dict[str, EvidenceKind] = {}
        for release in self.releases:
            for root in release.roots:
                if kinds.setdefault(root, release.kind) != release.kind:
                    raise PolicyError("invalid_policy", f"The root {root[:16]}... stands for two kinds.")
        if self.minimum_version is not None:
            version_key(self.minimum_version, "minimum_version")
        if self.expires is not None:
            object.__setattr__(self, "expires", whole_seconds(self.expires, "expires"))
        _check_seconds(self.max_age, "max_age_seconds")
        _check_seconds(self.max_future_skew, "max_future_skew_seconds")
        # Copies, so that a policy cannot be widened through an object that its maker still holds.
        object.__setattr__(self, "releases", tuple(self.releases))
        object.__setattr__(self, "refuse", frozenset(_recalled(value) for value in self.refuse))

    @property
    def left_open(self) -> tuple[Part, ...]:
        """The parts that at least one release leaves open: `"code"`, `"function"`, in this order."""
        open_parts = {part for release in self.releases for part in release.left_open}
        return tuple(part for part in ("code", "function") if part in open_parts)

    def releases_of(self, root: str | None) -> tuple[Release, ...]:
        """The releases that accept the root with this SHA-256, all of one kind.

        None stands for unsigned evidence of QEMU, which proves nothing.
        """
        return tuple(
            release
            for release in self.releases
            if (release.kind == EMULATED if root is None else root in release.roots)
        )

    @classmethod
    def expecting(
        cls,
        measurements: Mapping[int, str],
        *,
        function_checksums: Iterable[str] | None = None,
        model_digests: Iterable[str] | None = None,
        function_in_image: bool = False,
        any_function: bool = False,
    ) -> Policy:
        """Accept one release of genuine Nitro enclaves. Raises `PolicyError`.

        `measurements` maps a PCR index to its SHA-384 in hex; the other arguments are those of `Release`. Measurements
        that pin only the code are refused: also pin the function, or state that any function is accepted.
        """
        release = Release(
            kind="nitro",
            pcrs={index: frozenset({value}) for index, value in measurements.items()},
            function_checksums=None if function_checksums is None else frozenset(function_checksums),
            model_digests=None if model_digests is None else frozenset(model_digests),
            function_in_image=function_in_image,
            any_function=any_function,
        )
        return cls(releases=(release,))

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Read a policy file: a regular one, of at most 1 MiB. Raises `PolicyError`."""
        from blindsight import files  # noqa: PLC0415 -- enclaves have no such module, and load no policy from a file

        try:
            return cls.from_json(files.read(path, _MAX_FILE_BYTES).decode())
        except OSError as error:
            raise PolicyError("unreadable_policy", f"The policy {path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise PolicyError("unreadable_policy", f"The policy {path} cannot be read: it is not UTF-8.") from error

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Parse a policy file's text. Raises `PolicyError`."""
        return cls(**policy_file.parse(text))

    def to_json(self) -> str:
        """Render as a policy file: indented, lists sorted, ending in a line feed."""
        return policy_file.render(self)


_MAX_FILE_BYTES = 1 << 20

_EVERY_ROOT = "f" * 64
"""Placeholder for all roots, in a release whose roots are never compared."""

_SIGNED: tuple[EvidenceKind, ...] = ("nitro", "simulated")
_ANYTHING = {
    kind: Release(kind=kind, roots=frozenset({_EVERY_ROOT}), any_code=True, any_function=True) for kind in _SIGNED
}


@dataclass(frozen=True)
class UnsafeAcceptAnything:
    """Accept any root, any code and any function: for inspecting a document, never for trusting one.

    Structure, chain, signature, debug mode, claims against PCR 16, nonce and age are still checked, so unsigned
    documents are refused.
    """

    refuse: frozenset[str] = field(default=frozenset(), init=False)
    minimum_version: None = field(default=None, init=False)
    expires: None = field(default=None, init=False)
    max_age: int = DEFAULT_MAX_AGE
    max_future_skew: int = DEFAULT_MAX_FUTURE_SKEW

    def releases_of(self, root: str | None) -> tuple[Release, ...]:
        """Only evidence under AWS's root counts as genuine. Unsigned evidence is refused even here."""
        if root is None:
            return ()
        return (_ANYTHING["nitro" if root == AWS_NITRO_ROOT_G1 else "simulated"],)


def _recalled(value: object) -> str:
    is_digest = isinstance(value, str) and len(value) == 2 * DIGEST_BYTES
    return hash_of(value, DIGEST_BYTES if is_digest else PCR_BYTES, "refuse")


def _check_seconds(value: object, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SECONDS:
        raise PolicyError("invalid_policy", f"{where}: not a whole number of seconds from 0 to {MAX_SECONDS}.")
