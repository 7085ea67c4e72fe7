"""AWS's checks of certificates: constraints of authorities and of the signer (row 22 of the published ones)."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.blindsight.attestation.attestation_forge import Forge, Party, party, refusal


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


def _chain_of(root: Party, *parties: Party) -> Forge:
    return Forge(root, list(parties[:-1]), parties[-1])


def test_row_22_path_length_violated(forge: Forge) -> None:
    regional = party(forge.root, "regional", path_length=0)
    instance = party(regional, "instance", path_length=0)
    document = _chain_of(forge.root, regional, instance, party(instance, "leaf", ca=False)).document()
    assert refusal(forge, document) == ("invalid_chain", 4)


def test_row_22_signer_that_is_an_authority(forge: Forge) -> None:
    leaf = party(forge.parties[-1], "leaf", ca=True)
    assert refusal(forge, _chain_of(forge.root, *forge.parties, leaf).document()) == ("invalid_chain", 4)
    document = Forge(forge.root, forge.parties[:-1], forge.parties[-1]).document()
    assert refusal(forge, document) == ("invalid_chain", 4)


def test_row_22_authority_that_may_not_sign_certificates(forge: Forge) -> None:
    instance = party(forge.parties[1], "instance", path_length=0, cert_sign=False)
    document = _chain_of(forge.root, *forge.parties[:2], instance, party(instance, "leaf", ca=False)).document()
    assert refusal(forge, document) == ("invalid_chain", 4)


def test_row_22_signer_used_as_issuer(forge: Forge) -> None:
    signer = party(forge.parties[1], "signer", ca=False)
    document = _chain_of(forge.root, *forge.parties[:2], signer, party(signer, "leaf", ca=False)).document()
    assert refusal(forge, document) == ("invalid_chain", 4)


def test_row_22_signer_without_digital_signature(forge: Forge) -> None:
    leaf = party(forge.parties[-1], "leaf", ca=False, digital_signature=False)
    assert refusal(forge, _chain_of(forge.root, *forge.parties, leaf).document()) == ("invalid_chain", 4)


def test_row_22_unknown_critical_extension(forge: Forge) -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    leaf = party(forge.parties[-1], "leaf", ca=False, extra=[(extension, True)])
    assert refusal(forge, _chain_of(forge.root, *forge.parties, leaf).document()) == ("invalid_chain", 4)
    instance = party(forge.parties[1], "instance", path_length=0, extra=[(extension, True)])
    document = _chain_of(forge.root, *forge.parties[:2], instance, party(instance, "leaf", ca=False)).document()
    assert refusal(forge, document) == ("invalid_chain", 4)
    forge.verify(
        _chain_of(
            forge.root, *forge.parties, party(forge.parties[-1], "leaf", ca=False, extra=[(extension, False)])
        ).document()
    )


def test_row_22_chain_deeper_than_genuine_ones(forge: Forge) -> None:
    parties = [party(forge.root, "1")]
    for name in "234":
        parties.append(party(parties[-1], name))
    document = _chain_of(forge.root, *parties, party(parties[-1], "leaf", ca=False)).document()
    assert refusal(forge, document) == ("invalid_chain", 4)


def test_a_signature_whose_bit_string_leaves_a_bit_out(forge: Forge) -> None:
    """Another encoding of the same signature, where its last bit is zero: of every certificate there is one form."""
    refused = 0
    while not refused:
        each = Forge()
        for which, party_ in enumerate((*each.parties, each.leaf), start=1):
            certificate = party_.certificate
            if certificate.signature[-1] % 2:
                continue
            encoded = [bytearray(der) for der in (*each.bundle, each.leaf.der)]
            encoded[which][-len(certificate.signature) - 1] = 1
            *bundle, leaf = map(bytes, encoded)
            document = each.document(certificate=leaf, cabundle=bundle)
            assert refusal(each, document) == ("malformed_certificate", 3)
            refused += 1
