"""Statements 35 to 40: Cape's own encryption."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.support.cape_client import ClientError, Envelope, js_pem
from tests.support.cape_host import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cape_host import CapeHost, Deployed, Person


@pytest.fixture(scope="module")
def bobs_echo(bob: Person) -> Deployed:
    return bob.deploy(FUNCTIONS / "echo")


def test_35_key(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person) -> None:
    """An RSA-4096 key in 550 bytes, the same for all. (py, js, cli: pycape, raw client, cape)"""
    script = 'answer([Cape().key().hex(), Cape().key(username="ada").hex()])'
    assert pycape(script) == [ada.key_der.hex()] * 2
    key = load_der_public_key(ada.key_der)
    assert isinstance(key, rsa.RSAPublicKey)
    assert (len(ada.key_der), key.key_size, key.public_numbers().e) == (550, 4096, 65537)
    response = httpx2.get(f"{cape_host.plain_url}/v1/user/ada/key", trust_env=False)
    assert response.headers["access-control-allow-origin"] == "*"
    assert ada.cape("key").text == js_pem(ada.key_der) + "\n"
    assert (ada.config / "capekey.pub.der").read_bytes() == ada.key_der


def test_36_encrypted_inputs(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """What pycape, cape-js and `cape` encrypt reaches the handler as plaintext. (all: pycape, raw client, cape)"""
    script = """
        cape = Cape()
        values = [cape.encrypt(b"from pycape"), cape.encrypt(b"from pycape", username="ada")]
        answer([[value[:5].decode(), cape.run(given["function"], given["token"], value).decode()] for value in values])
    """
    assert pycape(script, function=echo.id, token=ada.token()) == [["cape:", "from pycape"]] * 2
    encryptor = Envelope(ada.key_der)
    values = [encryptor.text(text) for text in (b"from js", b"again", b"")]
    with cape_host.js(f"/v1/run/{echo.id}", ada.token()) as js:
        assert js.invoke_all(values) == [b"from js", b"again", b""]
    encrypted = ada.cape("encrypt", "from cape").text.strip()
    assert ada.cape("run", echo.id, encrypted).out == b"from cape\n"


def test_37_trailing_newline(cape_host: CapeHost, ada: Person, echo: Deployed) -> None:
    """A line end after an encrypted value does no harm. (cli: cape, raw client)"""
    encrypted = ada.cape("encrypt", "-f", "-", "--username", "ada", stdin=b"piped").out
    assert encrypted.endswith(b"\n")
    assert ada.cape("run", echo.id, "-f", "-", stdin=encrypted).out == b"piped\n"
    with cape_host.js(f"/v1/run/{echo.id}", ada.token()) as js:
        for end in (b"\n", b"\r\n", b" \n"):
            assert js.invoke(encrypted.strip() + end) == b"piped"


def test_38_undecryptable_inputs(pycape: Callable[..., Any], ada: Person, bob: Person, echo: Deployed) -> None:
    """An input that cannot be decrypted is an error frame, and the connection goes on. (py: pycape)"""
    whole = Envelope(ada.key_der).text(b"x" * 100).decode()
    broken = ["cape:", "cape:!!!!", "cape:AAAA", whole[:-8], whole[:700], whole[:5] + "AAAA" + whole[9:]]
    broken.append(Envelope(bob.key_der).text(b"x").decode())
    script = """
        cape, got = Cape(), []
        cape.connect(given["function"], given["token"])
        for value in given["values"]:
            try:
                got.append(cape.invoke(value.encode()).decode())
            except Exception as error:
                got.append(type(error).__name__ + str(error)[:14])
        cape.close()
        answer(got)
    """
    values = [*broken, whole, "Cape:AAAA", " cape:AAAA"]
    got = pycape(script, function=echo.id, token=ada.token(), values=values)
    refused, accepted = got[: len(broken)], got[len(broken) :]
    assert set(refused) == {refused[0]}
    assert refused[0].startswith("Exception")
    # The prefix counts at the very beginning only, and in this case only.
    assert accepted == ["x" * 100, "Cape:AAAA", " cape:AAAA"]


def test_39_encryption_in_a_function(cape_host: CapeHost, ada: Person, lab: Deployed, echo: Deployed) -> None:
    """Encrypt and Decrypt at `../rpc.sock`, with a null `error` on success. (fn: a deployed function)"""
    order = json.dumps({"do": "roundtrip", "text": "kept for later"}).encode()
    with cape_host.js(f"/v1/run/{lab.id}", ada.token()) as js:
        answer = json.loads(js.invoke(order))
        refused = json.loads(js.invoke(json.dumps({"do": "rpc", "method": "Decrypt", "value": "cape:AAAA"}).encode()))
    encrypted, decrypted = answer["encrypted"], answer["decrypted"]
    assert encrypted.keys() == decrypted.keys() == refused.keys() == {"id", "result", "error"}
    assert (encrypted["id"], encrypted["error"], decrypted["error"]) == (1, None, None)
    assert base64.b64decode(decrypted["result"]) == b"kept for later"
    assert (refused["result"], type(refused["error"])) == (None, str)
    # The key is the owner's: any function of hers opens it.
    with cape_host.js(f"/v1/run/{echo.id}", ada.token()) as js:
        assert js.invoke(encrypted["result"].encode()) == b"kept for later"


def test_40_two_keys(
    cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, bob: Person, bobs_echo: Deployed
) -> None:
    """Two users have two keys; what is encrypted for one, the other's function cannot read. (py: pycape)"""
    script = """
        cape, got = Cape(), []
        cape.connect(given["function"], given["token"])
        for username in ("bob", "ada"):
            try:
                got.append(cape.invoke(cape.encrypt(b"hello", username=username)).decode())
            except Exception as error:
                got.append(str(error))
        cape.close()
        answer([cape.key(username="ada") != cape.key(username="bob"), *got])
    """
    different, own, others = pycape(script, function=bobs_echo.id, token=bob.token())
    assert (different, own) == (True, "hello")
    assert "decrypt" in others
    with (
        cape_host.js(f"/v1/run/{bobs_echo.id}", bob.token()) as js,
        pytest.raises(ClientError, match="decrypt"),
    ):
        js.invoke(Envelope(ada.key_der).text(b"hello"))
