"""Cape Keys, encryption, measurements."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization

from blindsight.cape import envelope
from enclave_runtime.evidence.simulated import SimulatedProducer
from tests.support.fake_cape_host import PCRS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost


def test_the_own_key_in_pem(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    outcome = ada("key")
    assert outcome.status == 0
    assert outcome.err.startswith("Owner of ada ➜ SHA256:")
    assert outcome.out.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert max(map(len, outcome.out.splitlines())) == 64
    loaded = serialization.load_pem_public_key(outcome.out.encode())
    assert loaded.public_numbers() == host.cape_key("ada").public_key().public_numbers()
    assert host.sockets == ["/v1/key"]  # The one of the signup: the second time it was kept.


def test_with_measurements_it_is_fetched_anew(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    assert ada("key", "-p", f"0:{PCRS[0].hex()}").status == 0
    assert host.sockets == ["/v1/key"] * 2
    assert ada("key", "-p", "1:ab").err == f"Error: PCR1 {PCRS[1].hex()} does not match [ab]\n"


def test_anothers_key_is_shown_and_not_kept(
    ada: Callable[..., Any], host: FakeCapeHost, home: Path, tmp_path: Path
) -> None:
    bobs = json.loads(_signed_up(ada, tmp_path / "bob", home))["access_token"]
    assert serialization.load_pem_public_key(ada("key", "-t", bobs).out.encode()).public_numbers() == (
        host.cape_key("bob").public_key().public_numbers()
    )
    assert (home / ".config/cape/capekey.pub.der").read_bytes() == host.cape_key_der("ada")


def _signed_up(cape: Callable[..., Any], folder: Path, home: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPE_LOCAL_CONFIG_DIR", str(folder))
        assert cape("signup", "bob").status == 0
    return (folder / "auth").read_text()


def test_a_document_without_a_key(
    ada: Callable[..., Any], host: FakeCapeHost, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".config/cape/capekey.pub.der").unlink()
    monkeypatch.setattr(host, "cape_key_der", lambda _: b"")
    assert ada("key").err == "Error: did not receive cape key\n"
    monkeypatch.setattr(host, "cape_key_der", lambda _: b"x")
    assert ada("key").err == "Error: error: key in unexpected format: not a public key\n"


def test_encrypting_for_oneself(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    outcome = ada("encrypt", "secret é")
    assert outcome.out.startswith("cape:")
    assert outcome.out.endswith("\n")
    assert envelope.decrypt(host.cape_key("ada"), outcome.out.encode()) == "secret é".encode()


def test_encrypting_for_another_needs_no_login(cape: Callable[..., Any], host: FakeCapeHost, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\x00\xff")
    outcome = cape("encrypt", "--username", "bob", "-f", str(tmp_path / "data"))
    assert envelope.decrypt(host.cape_key("bob"), outcome.out.encode()) == b"\x00\xff"
    assert host.requests[-1].token == ""


@pytest.mark.parametrize("argv", [[], ["-f", "-"]])
def test_encrypting_what_is_piped(
    argv: list[str], ada: Callable[..., Any], host: FakeCapeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped\n")))
    assert envelope.decrypt(host.cape_key("ada"), ada("encrypt", *argv).out.encode()) == b"piped\n"


def test_what_cannot_be_encrypted(cape: Callable[..., Any], home: Path, host: FakeCapeHost) -> None:
    assert cape("encrypt", "").err.startswith("Error: ")
    auth = home / ".config" / "cape" / "auth"
    assert cape("encrypt", "x").err == (
        f"Error: couldn't get username from {auth} id token, are you logged in? (run `cape login`)\n"
    )
    assert cape("encrypt", "x", "--username", "../a").err.startswith("Error: unable to encrypt: a username has 1 to 39")


def test_nothing_is_not_encrypted(ada: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert ada("encrypt").err == "Error: unable to encrypt: input is empty\n"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((404, {"error": "no such user", "message": "x"}), "no such user"),
        ((404, {"message": "no such user"}), "no such user"),
        ((500, b"x"), "something went wrong, status code: 500"),
        ((200, b"x"), "error parsing attestation document"),
        ((200, {"attestation_document": 5}), "error parsing attestation document"),
    ],
)
def test_a_user_key_that_cannot_be_had(
    answer: tuple[int, Any], text: str, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    host.faults["rest"] = answer
    assert ada("encrypt", "x").err == f"Error: {text}\n"


def test_a_user_key_document_outlives_its_certificates(
    ada: Callable[..., Any], host: FakeCapeHost, tmp_path: Path
) -> None:
    old = SimulatedProducer(tmp_path / "old", PCRS, clock=lambda: datetime.now(UTC) - timedelta(days=3))
    root = tmp_path / "old.pem"
    root.write_bytes(old._root.certificate.public_bytes(serialization.Encoding.PEM))
    host.producer = old
    outcome = ada("encrypt", "x", "--root", str(root))
    assert envelope.decrypt(host.cape_key("ada"), outcome.out.encode()) == b"x"
    assert "expired at" in ada("get-pcrs", "--root", str(root)).err


def test_what_a_host_measures(ada: Callable[..., Any]) -> None:
    outcome = ada("get-pcrs")
    assert (outcome.status, outcome.out) == (0, "")
    lines = [f"PCR{index}:\t{PCRS[index].hex()}" for index in range(3)]
    assert outcome.err.splitlines() == [
        *lines,
        "Compare with `python -m enclave_runtime measure --bundle FILE` of the release you trust.",
    ]
    assert json.loads(ada("get-pcrs", "-o", "json").out) == {str(index): PCRS[index].hex() for index in range(3)}


def test_a_host_that_proves_nothing_measures_nothing(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    host.faults["nonce"] = b"another"
    assert ada("get-pcrs").err == "Error: unable to get PCRs: error validating nonce\n"


def test_roots_that_cannot_be_read(ada: Callable[..., Any], tmp_path: Path, host: FakeCapeHost) -> None:
    missing, broken = tmp_path / "none.pem", tmp_path / "broken.pem"
    broken.write_text("x")
    text = f"Error: unable to read root certificate: open {missing}: no such file or directory\n"
    assert ada("get-pcrs", "--root", str(missing)).err == text
    text = f"Error: unable to read root certificate: {broken} is not a certificate in PEM\n"
    assert ada("get-pcrs", "--root", str(broken)).err == text
