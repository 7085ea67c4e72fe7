"""The 30 known weaknesses of attestation verifiers that the suite covers.

They come from published advisories, issues and audits of other projects. A row without cases concerns something other
than a document; its note says what, and it lists the tests that cover it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A weakness. `tests` are paths in this repository, if cases are not sufficient or not possible."""

    title: str
    source: str
    note: str = ""
    tests: tuple[str, ...] = ()


_VULNERABILITIES = "tests/blindsight/attestation/test_verifier_vulnerabilities.py"

ROWS = {
    1: Row("a register that the policy asks for is missing", "CVE-2025-64186, evervault-go"),
    2: Row(
        "a genuine document relayed with other keys",
        "CVE-2026-33697, Cocos AI",
        "bindings are this project's own",
        (f"{_VULNERABILITIES}::test_row_02_and_27_relayed_document_with_other_keys",),
    ),
    3: Row("expected values that are empty or zero", "pontifex 30; keep 577, 590, 717"),
    4: Row("debug documents with a valid signature", "MystenLabs/sui 24214; world-chain 698"),
    5: Row("parsed, but not verified or compared", "world-chain 698; attestor-core 52"),
    6: Row("no certificate, no cryptography", "world-chain 1049"),
    7: Row("the root taken from the document, or from the wrong end", "world-chain 956"),
    8: Row("a self-made root with a valid chain", "Cape's root, downloaded without a hash"),
    9: Row("the ZIP file's hash pinned as the certificate's", "an iOS app"),
    10: Row("trailing bytes", "nitro-validator 34, 38"),
    11: Row("duplicate keys", "nitro-validator 36"),
    12: Row("indefinite lengths and the break", "nitro-validator 32"),
    13: Row(
        "signatures are malleable: none identifies a document",
        "nitro-validator 35",
        "the case must be accepted; that both give equal results is tested apart",
        (f"{_VULNERABILITIES}::test_row_13_malleable_signature_gives_an_equal_result",),
    ),
    14: Row("intermediates that outlive their expiry in a cache", "base 1972"),
    15: Row("algorithm or curve chosen by the message", "chainlink-common 2166, 2162"),
    16: Row(
        "a return value that is ignored",
        "microsoft/attested-ohttp-client",
        "about programs, not documents: both verifiers raise, and neither returns a verdict that could be ignored",
        (f"{_VULNERABILITIES}::test_row_05_signature_is_verified",),
    ),
    17: Row(
        "coordinates and signatures that begin with a zero byte",
        "pycape",
        "many more keys are tried apart",
        (f"{_VULNERABILITIES}::test_row_17_many_keys",),
    ),
    18: Row("validity judged at the certificate's own time", "pycape's key path"),
    19: Row("nonces absent, shortened or of another session", "world-chain 698; OpenGradient 121"),
    20: Row("old, of the future, or in another unit", "dstack 613; GHSA-2hpj-pqpw-j753"),
    21: Row("register indexes and lengths", "QOS"),
    22: Row("path lengths, authorities and key usages", "AWS 3.2.3"),
    23: Row("bombs before anything is authenticated", "dstack 566, 567"),
    24: Row(
        "a simulator within reach of production",
        "dstack 563, 609; nitriding-daemon 31",
        "what an image contains is tested apart",
        ("tests/enclave_runtime/evidence/test_evidence_simulated.py::test_machines_do_not_accept_each_other",),
    ),
    25: Row("a key published before it exists", "nitriding-daemon 16"),
    26: Row(
        "plaintext accepted where encryption was dropped",
        "teep, NEAR",
        "about gateways and clients, not documents",
        ("tests/gateway/test_sealed.py", "tests/evil_gateway/test_client.py"),
    ),
    27: Row(
        "the key in use differs from the attested one",
        "attested TLS",
        "bindings are this project's own",
        (f"{_VULNERABILITIES}::test_row_02_and_27_relayed_document_with_other_keys",),
    ),
    28: Row("unsigned documents of QEMU, and mock roots", "QEMU 9.2"),
    29: Row(
        "forms of genuine documents that must be accepted",
        "documents of 2022 to 2026",
        "genuine ones are run, too, where they are at hand",
        ("tests/blindsight/attestation/test_genuine.py",),
    ),
    30: Row(
        "logs that hold inner headers or bodies",
        "microsoft/attested-ohttp-server",
        "about services, not documents",
        ("tests/stack/test_silence.py", "tests/stack/test_wire_privacy.py"),
    ),
}
