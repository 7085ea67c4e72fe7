"""What a verifier accepts: roots of trust, measurements, functions, models, ages.

A policy is data, in a file that can be reviewed:

    {
      "schema": "blindsight-policy/1",
      "roots": [{"kind": "nitro", "sha256": "641a03..."}],
      "pcrs": {"0": ["bda746..."], "1": ["bcdf05..."], "2": ["f2725d..."]},
      "function_checksums": ["..."],
      "model_digests": null,
      "max_age_seconds": 300,
      "max_future_skew_seconds": 60
    }

Every listed PCR must be in a document with one of its listed values. `null` for functions or models accepts any. What
would silently accept more than it seems to (an empty list, zero measurements, a misspelt key) is refused when the
policy is made.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

from blindsight.attestation.document import MAX_PCRS, PCR_BYTES
from blindsight.attestation.roots import AWS_NITRO_ROOT_G1, NOT_FINGERPRINTS, Kind
from blindsight.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SCHEMA = "blindsight-policy/1"

DEFAULT_MAX_AGE = 300
"""Seconds. Evidence is made for a nonce within one round trip; dstack allows 3600, Marlin 300."""

DEFAULT_MAX_FUTURE_SKEW = 60
"""Seconds by which the enclave's clock may be ahead of the verifier's."""

MAX_SECONDS = 24 * 3600
"""Ceiling of both limits: the life of an instance's certificate, after which no document verifies live."""

_MEMBERS = {
    "schema", "roots", "pcrs", "function_checksums", "model_digests", "max_age_seconds", "max_future_skew_seconds",
}  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """What is accepted. All hashes are lower-case hexadecimal, ages whole seconds.

    `roots` maps the SHA-256 of a root certificate (DER) to what it vouches for; `pcrs` maps an index to the accepted
    SHA-384 values. Raises `PolicyError`.
    """

    roots: Mapping[str, Kind]
    pcrs: Mapping[int, frozenset[str]]
    function_checksums: frozenset[str] | None = None
    model_digests: frozenset[str] | None = None
    max_age: int = DEFAULT_MAX_AGE
    max_future_skew: int = DEFAULT_MAX_FUTURE_SKEW

    def __post_init__(self) -> None:
        if not self.roots:
            raise PolicyError("no_roots", "The policy lists no root of trust.")
        if not self.pcrs:
            raise PolicyError("no_measurements", "The policy lists no PCR, so it would accept any code.")
        roots = {_hash(root, 32, "a root"): kind for root, kind in self.roots.items()}
        for root, kind in roots.items():
            _check_root(root, kind)
        pcrs = {_index(index): _hashes(values, PCR_BYTES, f"PCR {index}") for index, values in self.pcrs.items()}
        _seconds(self.max_age, "max_age_seconds")
        _seconds(self.max_future_skew, "max_future_skew_seconds")
        # Copies, so that a policy cannot be widened through an object that its maker still holds.
        object.__setattr__(self, "roots", MappingProxyType(roots))
        object.__setattr__(self, "pcrs", MappingProxyType(pcrs))
        for name in ("function_checksums", "model_digests"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _hashes(values, 32, name))

    def kind_of_root(self, fingerprint: str) -> Kind | None:
        """What the root with this SHA-256 vouches for; None if it is not accepted."""
        return self.roots.get(fingerprint)

    @classmethod
    def expecting(cls, measurements: Mapping[int, str]) -> Policy:
        """Accept genuine Nitro enclaves with these measurements: PCR index to SHA-384 in hex. Raises `PolicyError`."""
        pcrs = {index: frozenset({value}) for index, value in measurements.items()}
        return cls(roots={AWS_NITRO_ROOT_G1: "nitro"}, pcrs=pcrs)

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Read a policy file. Raises `PolicyError`."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError("unreadable_policy", f"The policy {path} cannot be read.") from error

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Parse a policy. Raises `PolicyError`."""
        try:
            members = json.loads(text, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise PolicyError("unreadable_policy", "The policy is not JSON.") from error
        if not isinstance(members, dict) or members.get("schema") != SCHEMA:
            raise PolicyError("invalid_policy", f"The policy does not state the schema {SCHEMA}.")
        _only(members, _MEMBERS)
        return cls(
            roots=_roots(members.get("roots")),
            pcrs=_pcrs(members.get("pcrs")),
            function_checksums=_optional(members.get("function_checksums"), "function_checksums"),
            model_digests=_optional(members.get("model_digests"), "model_digests"),
            max_age=members.get("max_age_seconds", DEFAULT_MAX_AGE),
            max_future_skew=members.get("max_future_skew_seconds", DEFAULT_MAX_FUTURE_SKEW),
        )

    def to_json(self) -> str:
        """Render as a policy file: sorted, indented, ending in a line feed."""
        members = {
            "schema": SCHEMA,
            "roots": [{"kind": kind, "sha256": root} for root, kind in sorted(self.roots.items())],
            "pcrs": {str(index): sorted(values) for index, values in sorted(self.pcrs.items())},
            "function_checksums": None if self.function_checksums is None else sorted(self.function_checksums),
            "model_digests": None if self.model_digests is None else sorted(self.model_digests),
            "max_age_seconds": self.max_age,
            "max_future_skew_seconds": self.max_future_skew,
        }
        return json.dumps(members, indent=2) + "\n"


@dataclass(frozen=True)
class UnsafeAcceptAnything:
    """Accept any root and any code: for looking at a document, never for trusting one.

    Structure, chain, signature, debug mode, claims against PCR 16, nonce and age are still checked.
    """

    pcrs: Mapping[int, frozenset[str]] = field(default_factory=dict, init=False)
    function_checksums: None = field(default=None, init=False)
    model_digests: None = field(default=None, init=False)
    max_age: int = DEFAULT_MAX_AGE
    max_future_skew: int = DEFAULT_MAX_FUTURE_SKEW

    def kind_of_root(self, fingerprint: str) -> Kind:
        """Genuine is only what AWS's root signed."""
        return "nitro" if fingerprint == AWS_NITRO_ROOT_G1 else "simulated"


def _check_root(root: str, kind: str) -> None:
    if root in NOT_FINGERPRINTS:
        raise PolicyError(
            "not_a_certificate_fingerprint", f"The root {root[:16]}... is the hash of {NOT_FINGERPRINTS[root]}."
        )
    if kind not in get_args(Kind) or (root == AWS_NITRO_ROOT_G1 and kind != "nitro"):
        raise PolicyError("invalid_policy", f"The root {root[:16]}... cannot be of kind {kind!r}.")


def _hash(value: object, size: int, where: str) -> str:
    text = value.lower() if isinstance(value, str) else ""
    if not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text):
        raise PolicyError("invalid_policy", f"{where}: not {2 * size} hexadecimal digits.")
    if not text.strip("0"):
        raise PolicyError("zero_measurement", f"{where}: all zeros.")
    return text


def _hashes(values: Iterable[object], size: int, where: str) -> frozenset[str]:
    hashes = frozenset(_hash(value, size, where) for value in values)
    if not hashes:
        raise PolicyError("empty_allow_list", f"{where}: no accepted value.")
    return hashes


def _index(index: object) -> int:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < MAX_PCRS:
        raise PolicyError("invalid_policy", f"A PCR index is not an integer from 0 to {MAX_PCRS - 1}.")
    return index


def _seconds(value: object, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SECONDS:
        raise PolicyError("invalid_policy", f"{where}: not a whole number of seconds from 0 to {MAX_SECONDS}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise PolicyError("invalid_policy", "An object has the same key twice.")
    return members


def _only(members: dict[str, Any], known: set[str]) -> None:
    for name in members.keys() - known:
        raise PolicyError("unknown_policy_key", f"Unknown key {name!r}.")


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PolicyError("invalid_policy", f"{where}: not a list.")
    return value


def _optional(value: object, where: str) -> frozenset[str] | None:
    return None if value is None else _hashes(_list(value, where), 32, where)


def _roots(value: object) -> dict[str, Kind]:
    roots: dict[str, Kind] = {}
    for entry in _list(value, "roots"):
        if not isinstance(entry, dict) or not {"kind", "sha256"} <= entry.keys():
            raise PolicyError("invalid_policy", "roots: an entry is not an object with kind and sha256.")
        _only(entry, {"kind", "sha256"})
        root = _hash(entry["sha256"], 32, "a root")
        if root in roots:
            raise PolicyError("invalid_policy", f"roots: {root[:16]}... is listed twice.")
        roots[root] = entry["kind"]  # The constructor checks it.
    return roots


def _pcrs(value: object) -> dict[int, frozenset[str]]:
    if not isinstance(value, dict):
        raise PolicyError("invalid_policy", "pcrs: not an object.")
    pcrs: dict[int, frozenset[str]] = {}
    for index, values in value.items():
        # "01" and "1" would be two spellings of one register, the second quietly replacing the first.
        if not re.fullmatch("0|[1-9][0-9]?", index):
            raise PolicyError("invalid_policy", f"pcrs: {index!r} is not a PCR index.")
        pcrs[int(index)] = _hashes(_list(values, f"PCR {index}"), PCR_BYTES, f"PCR {index}")
    return pcrs
