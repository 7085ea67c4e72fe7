"""Running functions: inputs, results, checksums, signatures."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import envelope
from tests.support.fake_cape_host import PCRS, PYTHON, rsa_key
from tests.support.misspelt import misspelt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost, Function


@pytest.fixture
def function(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> Function:
    assert ada("deploy", str(echo)).status == 0
    [function] = host.functions.values()
    return function


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_by_id_and_by_name(function: Function, ada: Callable[..., Any]) -> None:
    for name in (function.id, "ada/echo"):
        outcome = ada("run", name, "hello é")
        assert (outcome.status, outcome.out, outcome.err) == (0, "hello é\n", "")


def test_a_result_is_printed_byte_for_byte(function: Function, ada: Callable[..., Any], tmp_path: Path) -> None:
    content = bytes(range(256))
    (tmp_path / "data").write_bytes(content)
    outcome = ada("run", function.id, "ignored", "-f", str(tmp_path / "data"))
    assert outcome.out.encode(errors="surrogateescape") == content + b"\n"


def test_from_standard_input(function: Function, ada: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, b"piped")
    assert ada("run", function.id, "-f", "-").out == "piped\n"


def test_nothing_is_an_input_too(function: Function, ada: Callable[..., Any], tmp_path: Path) -> None:
    assert ada("run", function.id, "").out == "\n"


def test_encrypted_for_the_owner(function: Function, ada: Callable[..., Any], host: FakeCapeHost) -> None:
    value = envelope.encrypt(host.cape_key("ada").public_key(), b"secret").decode()
    assert ada("run", function.id, value).out == "secret\n"


def test_as_json_with_everything(function: Function, ada: Callable[..., Any], host: FakeCapeHost) -> None:
    outcome = ada("run", function.id, "<&>", "-o", "json")
    assert outcome.out.startswith('{"output":"\\u003c\\u0026\\u003e","checksums":{"input":"')
    assert outcome.out.count("\n") == 1
    shown = json.loads(outcome.out)
    digest = base64.b64encode(hashlib.sha256(b"<&>").digest()).decode()
    checksum = base64.b64encode(function.checksum).decode()
    assert shown["checksums"] == {"input": digest, "function": checksum, "output": digest}
    assert len(base64.b64decode(shown["signed_results"])) == 256
    document = shown["attestation_doc"]
    assert list(document) == [
        "ModuleID", "Timestamp", "Digest", "PCRs", "Certificate", "Cabundle", "PublicKey", "UserData", "Nonce",
    ]  # fmt: skip
    assert (document["ModuleID"], document["Digest"]) == (host.producer.module_id, "SHA384")
    assert base64.b64decode(document["PCRs"]["0"]) == PCRS[0]
    assert list(document["PCRs"]) == sorted(document["PCRs"])
    assert json.loads(base64.b64decode(document["UserData"]))["func_checksum"] == checksum
    assert base64.b64decode(shown["raw_attestation_doc"]).startswith(b"\x84\x44\xa1\x01\x38\x22")


def test_the_expected_checksum_passes(function: Function, ada: Callable[..., Any]) -> None:
    argv = ["--function-checksum", function.checksum.hex().upper(), "--key-policy-checksum", "00" * 32]
    assert ada("run", function.id, "x", *argv).out == "x\n"


@pytest.mark.parametrize(
    ("flag", "what"), [("function-checksum", "checksum"), ("key-policy-checksum", "key policy checksum")]
)
def test_another_checksum_gets_nothing(
    flag: str, what: str, function: Function, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    outcome = ada("run", function.id, "x", f"--{flag}", "ab" * 32)
    got = function.checksum.hex() if what == "checksum" else "00" * 32
    text = f"returned {what} did not match provided, got: {got}, want {'ab' * 32}"
    assert (outcome.status, outcome.out, outcome.err) == (1, "", f"Error: run request failed: {text}\n")


def test_a_checksum_that_is_none(function: Function, ada: Callable[..., Any]) -> None:
    outcome = ada("run", function.id, "x", "--function-checksum", "xyz")
    assert outcome.err == "Error: error reading in checksum: xyz is not hexadecimal\n"


def test_a_failing_function_is_the_hosts_word(function: Function, ada: Callable[..., Any]) -> None:
    outcome = ada("run", function.id, "fail")
    assert (outcome.status, outcome.err) == (1, "Error: run request failed: the function failed: ValueError\n")
    assert "refused: " in ada("run", function.id, "fail", "-v").err


def test_no_such_function(function: Function, ada: Callable[..., Any]) -> None:
    for name in ("E7LiYKk4eSkEKAddXneVrX", "ada/other"):
        assert ada("run", name, "x").err == "Error: run request failed: function not found\n"


def tampered(change: Callable[[dict[str, Any]], None]) -> Callable[[str], str]:
    def tamper(frame: str) -> str:
        content = json.loads(frame)
        change(content["message"])
        return json.dumps(content)

    return tamper


BAD = "the signature of the result does not verify"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda message: message.update(message="eA=="), "the signed checksum of the output is another's"),
        (lambda message: message["checksums"].update(output=base64.b64encode(bytes(32)).decode()), BAD),
        (lambda message: message["checksums"].pop("input"), BAD),
        (lambda message: message.pop("checksums"), BAD),
        (lambda message: message.pop("signed_checksums"), BAD),
        (lambda message: message.update(signed_checksums="AAAA"), BAD),
        (lambda message: message.update(signed_checksums=7), BAD),
        (lambda message: message.update(message=None), "the host's answer is not base64"),
    ],
)
def test_a_result_of_somebody_else_is_refused(
    change: Callable[[dict[str, Any]], None], text: str, function: Function, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    host.faults["tamper"] = tampered(change)
    outcome = ada("run", function.id, "hello")
    assert (outcome.status, outcome.out, outcome.err) == (1, "", f"Error: run request failed: {text}\n")


def test_a_genuine_answer_to_another_input_is_refused(
    function: Function, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    from blindsight.cape import messages

    host.faults["unbound"] = True
    checksums = messages.Checksums.of(b"other input", function.checksum, b"hello")
    host.faults["tamper"] = lambda _: b"".join(messages.result(b"hello", checksums, rsa_key("results"))).decode()
    assert ada("run", function.id, "hello").err.endswith("the signed checksum of the input is another's\n")


def resigned(**answered: bytes) -> Callable[[str], str]:
    """The result that the enclave would give to another input, or in another session, with all else as it is."""
    from blindsight.cape import messages

    def change(frame: str) -> str:
        content = json.loads(frame)["message"]
        output = base64.b64decode(content["message"])
        stated = messages.Checksums(**{name: base64.b64decode(text) for name, text in content["checksums"].items()})
        right = {name: base64.b64decode(value) for name, value in content["bound"].items()}
        genuine = messages.result(output, stated, rsa_key("results"), messages.Answered(**(right | answered)))
        return b"".join(genuine).decode()

    return change


def test_a_result_of_another_input_or_session_is_refused(
    function: Function, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    """Signed by the very enclave, for the same function, input and output: only what it answers is another."""
    host.faults["tamper"] = resigned()
    assert ada("run", function.id, "hello").out == "hello\n"
    for answered in ({"sealed_input": bytes(32)}, {"session": bytes(32)}):
        host.faults["tamper"] = resigned(**answered)
        assert ada("run", function.id, "hello").err == f"Error: run request failed: {BAD}\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda message: message.pop("signed_bound"),
        lambda message: message.update(signed_bound=message["signed_checksums"]),
        lambda message: message.update(signed_checksums=message["signed_bound"]),
        lambda message: message.update(signed_bound=None),
    ],
)
def test_an_enclave_that_says_it_binds_its_results_is_held_to_it(
    change: Callable[[dict[str, Any]], None], function: Function, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    host.faults["tamper"] = tampered(change)
    assert ada("run", function.id, "hello").err == f"Error: run request failed: {BAD}\n"


def test_an_enclave_that_does_not_say_so_is_as_capes_own(
    function: Function, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    host.faults["unbound"] = True
    assert ada("run", function.id, "hello").out == "hello\n"


def test_what_is_no_answer(function: Function, ada: Callable[..., Any], host: FakeCapeHost) -> None:
    for frame, text in (
        ("x", "the host's answer is not JSON"),
        *((frame, "the host's answer is not JSON") for frame in misspelt('{"message":{}}').values()),
        ("[]", "the host's answer has no message"),
        ('{"message":null}', "the host's answer has no message"),
    ):
        host.faults["tamper"] = lambda _, frame=frame: frame
        assert ada("run", function.id, "hello").err == f"Error: run request failed: {text}\n"


def test_arguments(ada: Callable[..., Any], tmp_path: Path) -> None:
    number = "invalid number of input arguments"
    assert ada("run").err.startswith(f"Error: you must pass a function ID or a function name: {number}\nUsage:")
    text = "you must pass in only one input data (stdin, string or filename)"
    assert ada("run", "a", "b", "c").err.startswith(f"Error: {text}: {number}\nUsage:")
    text = "invalid input: please provide input as a string, input file or stdin"
    assert ada("run", "a").err == f"Error: {text}\n"
    missing = tmp_path / "none"
    text = f"Error: unable to read data file: open {missing}: no such file or directory\n"
    assert ada("run", "a", "-f", str(missing)).err == text
    assert ada("run", "a", "x", "-o", "xml").err == "Error: unknown output option: xml\n"


def test_a_host_that_is_not_there(ada: Callable[..., Any]) -> None:
    outcome = ada("run", "ada/echo", "x", "-u", "http://127.0.0.1:1")
    assert outcome.err.startswith("Error: run request failed: http://127.0.0.1:1 cannot be reached: ")
    assert (
        ada("run", "ada/echo", "x", "-u", "127.0.0.1:1").err == "Error: run request failed: malformed ws or wss URL\n"
    )


def test_no_proxy_stands_before_this_machine(
    function: Function, ada: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ada("run", function.id, "x").out == "x\n"
    assert ada("list").status == 0


def test_a_websocket_url_does_for_both(function: Function, ada: Callable[..., Any], host: FakeCapeHost) -> None:
    url = host.url.replace("http", "ws") + "/"
    assert ada("run", function.id, "x", "-u", url).out == "x\n"
    assert ada("list", "-u", url).status == 0


def test_before_deploying(ada: Callable[..., Any], echo: Path, tmp_path: Path) -> None:
    outcome = ada("test", str(echo), "hi")
    runs_on = f"Functions run on Python 3.11 on x86_64 Linux ({PYTHON}) there\n"
    assert (outcome.status, outcome.out, outcome.err) == (0, "hi", runs_on)
    (tmp_path / "data").write_bytes(b"from a file")
    assert ada("test", str(echo), "-f", str(tmp_path / "data")).out == "from a file"


def test_a_tests_result_is_checked_like_any(ada: Callable[..., Any], echo: Path, host: FakeCapeHost) -> None:
    for change, text in (
        (lambda message: message.update(message="eA=="), "the signed checksum of the output is another's"),
        (lambda message: message.pop("signed_bound"), BAD),
        (lambda message: message["checksums"].update(function=base64.b64encode(bytes(32)).decode()), BAD),
    ):
        host.faults["tamper"] = tampered(change)
        assert ada("test", str(echo), "hi").err.endswith(f"{text}\n")


def test_arguments_of_test(ada: Callable[..., Any], echo: Path) -> None:
    assert ada("test").err.startswith("Error: you must specify a directory to upload: invalid number")
    assert ada("test", str(echo)).err.startswith("Error: you must provide input data: invalid number")
    empty = echo / "empty"
    empty.mkdir()
    text = "unable to process user function input: please pass in a non-empty directory: EOF"
    assert ada("test", str(empty), "x").err == f"Error: {text}\n"


def test_bytes_of_the_command_line_stay_bytes(function: Function, ada: Callable[..., Any]) -> None:
    shown = json.loads(ada("run", function.id, os.fsdecode(b"\xff"), "-o", "json").out)
    assert base64.b64decode(shown["checksums"]["input"]) == hashlib.sha256(b"\xff").digest()
    assert shown["output"] == "\ufffd"
