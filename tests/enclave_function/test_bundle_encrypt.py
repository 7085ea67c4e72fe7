"""`bundle encrypt`: what it makes opens with the data key alone, and no disk sees that key."""

from __future__ import annotations

import base64
import hashlib
import io
import json

import pytest

from blindsight.sealing import stream
from enclave_function import bundle
from enclave_function.commands import main

KEY = bytes(range(32))


def answer(**changed: object) -> str:
    """What the AWS command line prints."""
    members = {
        "CiphertextBlob": base64.b64encode(b"for KMS").decode(),
        "Plaintext": base64.b64encode(KEY).decode(),
        "KeyId": "arn:aws:kms:eu-central-1:111122223333:key/1",
        "KeyMaterialId": "0123",
    }
    return json.dumps(members | changed)


@pytest.fixture
def built(tiny, tmp_path, capsys):
    out = tmp_path / "bundle.zip"
    assert main(["bundle", "build", "--model", str(tiny.folder), "--out", str(out)]) == 0
    capsys.readouterr()
    return out


def encrypt(built, text, capsys):
    """Status, output, error, and the encrypted file."""
    key, out = built.with_name("key.json"), built.with_name("function.enc")
    key.write_text(text)
    status = main(["bundle", "encrypt", str(built), "--out", str(out), "--key", str(key), "--json"])
    captured = capsys.readouterr()
    return status, captured.out, captured.err, out


def test_it_opens_with_the_data_key(built, capsys):
    status, output, _, out = encrypt(built, answer(), capsys)
    assert status == 0
    made = json.loads(output)
    clear = io.BytesIO()
    with out.open("rb") as file:
        assert stream.unseal(file.read, clear, KEY, limit=1 << 30).hex() == made["function_checksum"]
    assert clear.getvalue() == built.read_bytes()
    assert made == {
        "function_checksum": bundle.inspect(built).checksum,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "bytes": out.stat().st_size,
        "bundle_key": base64.b64encode(b"for KMS").decode(),
    }


def test_nothing_of_the_bundle_or_the_key_is_in_what_it_makes(built, capsys):
    _, output, error, out = encrypt(built, answer(), capsys)
    content = out.read_bytes()
    assert b"app.py" in built.read_bytes()
    assert b"app.py" not in content
    for shown in (output.encode(), error.encode(), content):
        assert KEY not in shown
        assert base64.b64encode(KEY) not in shown


def test_the_key_may_come_by_standard_input(built, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(answer().encode())))
    out = built.with_name("function.enc")
    assert main(["bundle", "encrypt", str(built), "--out", str(out), "--key", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == out.stat().st_size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        answer(Plaintext=None),
        answer(Plaintext="AAAA"),
        answer(Plaintext=base64.b64encode(KEY).decode() + "!"),
        answer(CiphertextBlob=""),
        answer(CiphertextBlob=7),
    ],
)
def test_what_is_no_data_key_is_refused(built, capsys, text):
    status, output, error, out = encrypt(built, text, capsys)
    assert (status, output) == (1, "")
    assert "generate-data-key" in error
    assert not out.exists()


def test_what_is_no_bundle_is_not_encrypted(built, capsys):
    built.write_bytes(b"no zip")
    status, _, error, out = encrypt(built, answer(), capsys)
    assert status == 1
    assert "not a zip file" in error
    assert not out.exists()
