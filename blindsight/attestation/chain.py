"""The certificate chain from a document's signer to a pinned root.

`cryptography.x509.verification` builds and checks the path (names, signatures, pathLen, extensions). This module checks
in addition the order of the bundle, the single permitted algorithm, and the validity period of every certificate
including the root. Following AWS's attestation process, it does not check revocation. It caches nothing, so a
certificate that was valid a minute ago is checked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import NameOID
from cryptography.x509.oid import SignatureAlgorithmOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from blindsight.attestation.roots import SIMULATED_ROOT_NAME
from blindsight.errors import EvidenceChainError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.x509.verification import Policy as PathPolicy

MAX_INTERMEDIATES = 3
"""Regional, zonal and instance CA: the depth of every genuine chain."""

# The library warns of some things that RFC 5280 forbids; where warnings are errors, that is a refusal too. It does not
# expect a name whose value is a bit string.
_UNREADABLE = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UserWarning,
)


@dataclass(frozen=True)
class Chain:
    """The parsed certificates of a document: `root` first, `leaf` last. Not verified."""

    certificates: tuple[x509.Certificate, ...]
    calls_itself_simulated: bool

    @property
    def root(self) -> x509.Certificate:
        return self.certificates[0]

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[-1]


def parse(bundle: Sequence[bytes], leaf: bytes) -> Chain:
    """Parse the DER `bundle` (root first) and `leaf`. Raises `EvidenceChainError` `malformed_certificate`."""
    try:
        certificates = tuple(_parsed(der) for der in (*bundle, leaf))
        names = certificates[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return Chain(certificates, any(name.value == SIMULATED_ROOT_NAME for name in names))
    except _UNREADABLE as error:
        raise EvidenceChainError("malformed_certificate", "A certificate cannot be parsed.") from error


def _parsed(der: bytes) -> x509.Certificate:
    certificate = x509.load_der_x509_certificate(der)
    # The library reads names when they are asked for, or when it says why a path is none.
    _ = certificate.subject, certificate.issuer
    # The library lets a signature's bit string have unused bits, if those are zero: another encoding of the same.
    if not der.endswith(b"\x00" + certificate.signature):
        raise ValueError("the signature is not a whole number of bytes")
    return certificate


def verify(chain: Chain, *, at: datetime) -> ec.EllipticCurvePublicKey:
    """Verify `chain` at the time `at` and return the leaf's P-384 key.

    The caller has compared the root's fingerprint with its pins. Raises `EvidenceChainError`.
    """
    for position, certificate in enumerate(chain.certificates, start=1):
        _check_time(certificate, f"Certificate {position} of {len(chain.certificates)}, from the root,", at)
        _check_algorithms(certificate)
    verifier = (
        PolicyBuilder()
        .store(Store([chain.root]))
        .time(at)
        .max_chain_depth(MAX_INTERMEDIATES)
        .extension_policies(ca_policy=_CA_POLICY, ee_policy=_LEAF_POLICY)
        .build_client_verifier()
    )
    try:
        path = verifier.verify(chain.leaf, list(chain.certificates[1:-1])).chain
    except (VerificationError, *_UNREADABLE) as error:
        raise EvidenceChainError(
            "invalid_chain", "The certificates do not form a valid chain from the signer to the root."
        ) from error
    # The library takes intermediates in any order and ignores spare ones; AWS's format states one order.
    if tuple(reversed(path)) != chain.certificates:
        raise EvidenceChainError(
            "chain_order", "The bundle is not the chain from the root to the signer, in that order."
        )
    return _p384_key(chain.leaf)


def _check_time(certificate: x509.Certificate, who: str, at: datetime) -> None:
    if at > certificate.not_valid_after_utc:
        raise EvidenceChainError(
            "certificate_expired", f"{who} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%SZ}."
        )
    if at < certificate.not_valid_before_utc:
        raise EvidenceChainError(
            "certificate_not_yet_valid",
            f"{who} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%SZ}.",
        )


def _check_algorithms(certificate: x509.Certificate) -> None:
    """Require ecdsa-with-SHA384 by a P-384 key for every certificate."""
    _p384_key(certificate)
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise EvidenceChainError("certificate_algorithm", "A certificate is not signed with SHA-384.")


def _p384_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceChainError("certificate_algorithm", "A certificate's key cannot be read.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceChainError("certificate_algorithm", "A certificate's key is not on P-384.")
    # RFC 5480, section 2.2: readers of keys may leave compressed points out, and not every browser knows them.
    if key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) not in certificate.tbs_certificate_bytes:
        raise EvidenceChainError("certificate_algorithm", "A certificate's key is a compressed point.")
    return key


def _require_ca(_policy: PathPolicy, _certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("an issuer is not a CA")


def _require_cert_sign(_policy: PathPolicy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("an issuer may not sign certificates")


def _require_not_ca(_policy: PathPolicy, _certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if constraints.ca:
        raise ValueError("the signer is a CA")


def _require_digital_signature(_policy: PathPolicy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.digital_signature:
        raise ValueError("the signer may not sign data")


_CA_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.CRITICAL, _require_ca)
    .require_present(x509.KeyUsage, Criticality.CRITICAL, _require_cert_sign)
)

# Genuine leaf certificates mark key usage non-critical.
_LEAF_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.CRITICAL, _require_not_ca)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_digital_signature)
    .require_not_present(x509.SubjectAlternativeName)
)
