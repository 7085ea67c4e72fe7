"""Equivalent mutants of the Python verifier, which change no check, each with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

_ENCODER = "writes documents, for producers and tests: no check is in it"
FUNCTIONS: Final = {
    "blindsight.attestation.cose.x_sign": _ENCODER,
    "blindsight.attestation.cose.x_assemble": _ENCODER,
    "blindsight.attestation.cose.x_raw_signature": _ENCODER,
    "blindsight.attestation.document.x_encode": _ENCODER,
}

_NO_JSON = "bytes that are no JSON either: the same refusal"
_NO_BYTES = "4 bytes, of which a digest has 32: the same refusal"
_DEFAULT = "the default of Python 3.11 and newer"
_LENGTHS = "the second list is made from the first: their lengths are equal"
EQUIVALENT: Final = {
    ("blindsight.attestation.claims.xǁClaimsǁparse", 'user_data or b"XXXX"'): _NO_JSON,
    ("blindsight.attestation.claims.x__claim", 'else b"XXXX"'): _NO_BYTES,
    ("blindsight.attestation.claims.x__claim", 'value = b"XXXX"'): _NO_BYTES,
    ("blindsight.attestation.cose.x_verify", "int.from_bytes(half, )"): _DEFAULT,
    ("blindsight.attestation.matching.x__kept", "strict=None"): _LENGTHS,
    ("blindsight.attestation.matching.x__kept", "zip(releases, refusals, )"): _LENGTHS,
    ("blindsight.attestation.matching.x__kept", "strict=False"): _LENGTHS,
    ("blindsight.attestation.release.x_hash_of", 'else "XXXX"'): "no hexadecimal digits either: the same refusal",
    ("blindsight.attestation.release.x_hash_of", 'strip("XX0XX")'): "only hexadecimal digits are left, and X is none",
    ("blindsight.cbor.xǁ_Decoderǁvalue", 'decode("UTF-8")'): "another spelling of the codec's name",
    ("blindsight.cbor.xǁ_Decoderǁ_head", "int.from_bytes(self._take(size), )"): _DEFAULT,
}
"""Function and a part of the changed line, to the reason."""


def entry(function: str, added: str) -> str | tuple[str, str] | None:
    """The key of the exclusion of a mutant of `function` with the changed lines `added`; None if it is not excluded."""
    if function in FUNCTIONS:
        return function
    return next((each for each in EQUIVALENT if each[0] == function and each[1] in added), None)


def stale(used: Container[object]) -> list[object]:
    """Exclusions that no mutant used, because the code has changed."""
    listed: list[object] = [*FUNCTIONS, *EQUIVALENT]
    return [each for each in listed if each not in used]
