"""Statements 14 to 27: running functions."""

from __future__ import annotations

import base64
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature

from tests.support.cape_client import ClientError, sha256, verify_result
from tests.support.cape_host import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.cape_host import CapeHost, Deployed, Person

INVOKE_ALL = """
    cape, got = Cape(), []
    cape.connect(given["function"], given["token"])
    for order in given["orders"]:
        try:
            got.append(cape.invoke(order.encode()).decode())
        except Exception as error:
            got.append(f"{type(error).__name__}: {error}")
    cape.close()
    answer(got)
"""


def order(do: str, **more: object) -> str:
    return json.dumps({"do": do, **more})


def test_14_by_id_and_by_name(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """By id and by `user/name` it is the same echo. (py, js, cli: pycape, raw client, cape)"""
    script = """
        answer([Cape().run(each, given["token"], b"hello").decode() for each in given["functions"]])
    """
    names = [echo.id, echo.name]
    assert pycape(script, functions=names, token=ada.token()) == ["hello", "hello"]
    for name in names:
        with cape_host.js(f"/v1/run/{name}", ada.token()) as js:
            assert js.invoke(b"hello") == b"hello"
        assert ada.cape("run", name, "hello").out == b"hello\n"


def test_15_three_invokes(pycape: Callable[..., Any], ada: Person, lab: Deployed) -> None:
    """connect, three invokes, close: in order, in one process, which no other connection uses. (py: pycape)"""
    orders = [order("count"), order("echo", text="second"), order("count")]
    for _ in range(2):
        assert pycape(INVOKE_ALL, function=lab.id, token=ada.token(), orders=orders) == ["1", "second", "3"]


def test_16_pipelining(cape_host: CapeHost, ada: Person, lab: Deployed) -> None:
    """`Promise.all` of three invokes is answered in order. (js: raw client)"""
    with cape_host.js(f"/v1/run/{lab.id}", ada.token()) as js:
        slow = order("sleep", seconds=0.3)
        orders = [slow, order("echo", text="second"), order("count")]
        assert js.invoke_all([each.encode() for each in orders]) == [b"slept", b"second", b"3"]


def test_17_handler_exception(pycape: Callable[..., Any], ada: Person, lab: Deployed) -> None:
    """A handler's exception is an error frame, without its message; the connection goes on. (py: pycape)"""
    orders = [order("echo", text="first"), order("fail", text="a secret"), "not json", order("count")]
    got = pycape(INVOKE_ALL, function=lab.id, token=ada.token(), orders=orders)
    assert got == ["first", "Exception: function raised ValueError", "Exception: function raised Exception", "4"]


def test_18_error_before_close(cape_host: CapeHost, ada: Person, lab: Deployed) -> None:
    """A request that is pending when the server closes gets an error frame first. (js: raw client)"""
    with cape_host.js(f"/v1/run/{lab.id}", ada.token()) as js:
        for _ in range(2):
            js.send_input(order("sleep", seconds=30).encode())
        js.socket.send("inputs are no text")
        for _ in range(2):
            with pytest.raises(ClientError):
                js.output()
        assert js.socket.wait_closed() == 1011
    with cape_host.js(f"/v1/run/{lab.id}", ada.token()) as js:
        with pytest.raises(ClientError, match="the function ended its process"):
            js.invoke(order("end").encode())
        assert js.invoke(order("count").encode()) == b"1"


def test_19_no_error_key(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """Frames of success have a `message` and nothing else. (py: pycape, raw client)"""
    with cape_host.js(f"/v1/run/{echo.id}", ada.token()) as js:
        js.invoke(b"x")
        js.invoke(b"")
    with cape_host.go("/v1/key", ada.token("account")) as go:
        assert [set(json.loads(frame)) for frame in (*js.frames, *go.frames)] == [{"message"}] * 4
    assert pycape(INVOKE_ALL, function=echo.id, token=ada.token(), orders=["x"]) == ["x"]


def test_20_text_frames(cape_host: CapeHost, ada: Person, lab: Deployed) -> None:
    """All that the server sends is text. (js: raw client)"""
    with cape_host.js(f"/v1/run/{lab.id}", ada.token()) as js:
        assert js.invoke(order("value", kind="bytes").encode()) == bytes(range(256))
        with pytest.raises(ClientError):
            js.invoke(order("fail", text="").encode())
    with cape_host.js("/v1/key", ada.token("account")) as keys:
        pass
    with cape_host.js("/v1/test", ada.token()) as test:
        test.send_input(b"no zip")
        with pytest.raises(ClientError):
            test.output()
    frames = [*js.frames, *keys.frames, *test.frames]
    assert len(frames) == 6
    assert all(isinstance(frame, str) for frame in frames)


def test_21_function_checksum(
    cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, tmp_path: Path, echo: Deployed
) -> None:
    """`func_checksum` is the zip's SHA-256; another one is refused. (py, js, cli: pycape, raw client, cape)"""
    archive = tmp_path / "echo.zip"
    # `app.py` at the root, as people zip by hand.
    with zipfile.ZipFile(archive, "w") as file:
        file.write(FUNCTIONS / "echo" / "app.py", "app.py")
    deployed = ada.cape("deploy", str(archive), "--name", "zipped-echo", "-o", "json").json
    right, wrong = sha256(archive.read_bytes()), sha256(b"")
    assert deployed["function_checksum"] == right
    name = deployed["function_id"]
    script = """
        cape, got = Cape(), []
        for checksum in given["checksums"]:
            try:
                got.append(cape.run(cape.function(given["function"], checksum=checksum), given["token"], b"x").decode())
            except RuntimeError as error:
                got.append(str(error))
        answer(got)
    """
    refusal = f"Returned checksum did not match provided, got: {right}, want: {wrong}."
    assert pycape(script, function=name, token=ada.token(), checksums=[right, wrong]) == ["x", refusal]
    with cape_host.js(f"/v1/run/{name}", ada.token(), checksum=right) as js:
        assert base64.b64decode(js.document.user_data["func_checksum"]).hex() == right
    with pytest.raises(ClientError, match="did not match provided"):
        cape_host.js(f"/v1/run/{name}", ada.token(), checksum=wrong)
    assert ada.cape("run", name, "x", "--function-checksum", right).out == b"x\n"
    said = ada.cape("run", name, "x", "--function-checksum", wrong, status=1).err
    assert f"returned checksum did not match provided, got: {right}, want {wrong}" in said


def test_22_measurements(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """PCRs in lower-case hexadecimal are accepted, wrong ones refused. (py, cli: pycape, cape)"""
    measured = cape_host.stack.measured.pcrs
    right = {str(index): [measured[index]] for index in (0, 1, 2)}
    wrong = {"0": ["00" * 48], "1": [measured[1]]}
    script = """
        got = []
        for pcrs in given["pcrs"]:
            try:
                got.append(Cape().run(given["function"], given["token"], b"x", pcrs=pcrs).decode())
            except Exception as error:
                got.append(str(error))
        answer(got)
    """
    got = pycape(script, function=echo.id, token=ada.token(), pcrs=[right, wrong])
    assert got == ["x", f"PCR 0 {measured[0]} does not match ['{'00' * 48}']"]
    flags = [f"--pcr={index}:{measured[index]}" for index in (0, 1, 2)]
    assert ada.cape("run", echo.id, "x", *flags).out == b"x\n"
    said = ada.cape("run", echo.id, "x", "--pcr", f"0:{'00' * 48}", status=1).err
    assert f"PCR0 {measured[0]} does not match [{'00' * 48}]" in said


def test_23_binary_result(pycape: Callable[..., Any], ada: Person, echo: Deployed, lab: Deployed) -> None:
    """All 256 byte values come back. (py: pycape)"""
    script = """
        everything = bytes(range(256))
        asked = Cape().run(given["lab"], given["token"], given["order"].encode())
        answer([asked == everything, Cape().run(given["echo"], given["token"], everything) == everything])
    """
    asked = order("value", kind="bytes")
    assert pycape(script, lab=lab.id, echo=echo.id, token=ada.token(), order=asked) == [True, True]


def test_24_result_encodings(pycape: Callable[..., Any], ada: Person, lab: Deployed) -> None:
    """str in UTF-8, bytes as they are, dict, tuple and None as Python writes them. (py: pycape)"""
    orders = [order("value", kind=kind) for kind in ("str", "dict", "tuple", "none", "empty")]
    got = pycape(INVOKE_ALL, function=lab.id, token=ada.token(), orders=orders)
    assert got == [
        "grüß Gott",
        "{'accuracy': 0.98, 'ok': True}",
        "('Image Label is :', 'Egyptian cat')",
        "None",
        "",
    ]


def test_25_serdio(pycape: Callable[..., Any], ada: Person, vendored: Callable[..., Path]) -> None:
    """`use_serdio=True` with positional and keyword arguments gives Python's values back. (py: pycape)"""
    function = ada.deploy(vendored("weighted", "serdio", "msgpack"))
    script = """
        result = Cape().run(given["function"], given["token"], [1, 2.5], weight=2, label="x", use_serdio=True)
        assert result == (7.0, {"x"}), result
        try:
            Cape().run(given["function"], given["token"], [1], use_serdio=True)
        except Exception as error:
            answer([type(result).__name__, str(error)])
    """
    assert pycape(script, function=function.id, token=ada.token()) == ["tuple", "function raised ValueError"]


def test_26_signed_result(cape_host: CapeHost, ada: Person, echo: Deployed) -> None:
    """`run -o json` has all keys; the signature verifies with the attested key. (cli: cape, raw client)"""
    shown = ada.cape("run", echo.id, "<7>", "-o", "json").json
    assert list(shown) == ["output", "checksums", "signed_results", "attestation_doc", "raw_attestation_doc"]
    assert shown["output"] == "<7>"
    assert {
        "ModuleID", "Timestamp", "Digest", "PCRs", "Certificate", "Cabundle", "PublicKey", "UserData", "Nonce"
    } == set(shown["attestation_doc"])  # fmt: skip
    user_data = json.loads(base64.b64decode(shown["attestation_doc"]["UserData"]))
    message = {"checksums": shown["checksums"], "signed_checksums": shown["signed_results"]}
    signed = verify_result(message, user_data)
    expected = {"input": sha256(b"<7>"), "function": echo.checksum, "output": sha256(b"<7>")}
    assert {name: value.hex() for name, value in signed.items()} == expected
    with cape_host.go(f"/v1/run/{echo.id}", ada.token()) as go:
        go.send_input(b"7")
        message = go.message()
        assert verify_result(message, go.document.user_data)["input"].hex() == sha256(b"7")
        message["checksums"]["output"] = message["checksums"]["function"]
        with pytest.raises(InvalidSignature):
            verify_result(message, go.document.user_data)


def test_27_empty_input_and_result(pycape: Callable[..., Any], ada: Person, echo: Deployed, lab: Deployed) -> None:
    """An empty input and an empty result work. (py, cli: pycape, cape)"""
    assert pycape(INVOKE_ALL, function=echo.id, token=ada.token(), orders=["", "x", ""]) == ["", "x", ""]
    assert ada.cape("run", echo.id, "").out == b"\n"
    assert ada.cape("run", echo.id, "-f", "-").out == b"\n"
    assert ada.cape("run", lab.id, order("value", kind="empty")).out == b"\n"
