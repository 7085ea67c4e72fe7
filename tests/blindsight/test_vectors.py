"""The JSON vectors that every implementation of docs/protocol.md runs: here Python's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight import receipts
from blindsight.attestation import Policy
from blindsight.errors import BlindsightError, SealingError
from blindsight.sealing import bhttp, hpke, keyconfig, ohttp, padding
from blindsight.sealing.kem import MLKEM768_X25519, HybridPrivateKey
from tests.support import vectors


def cases(name: str) -> Any:
    found = json.loads((vectors.FOLDER / name).read_text("utf-8"))["cases"]
    return pytest.mark.parametrize("case", found, ids=[case["name"] for case in found])


def decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def keys_of(case: dict[str, Any]) -> dict[int, ohttp.RecipientKey]:
    keys = {}
    for config in keyconfig.decode_list(decoded(case["key_configs"])):
        raw = bytes.fromhex(case["private_keys"][str(config.key_id)])
        hybrid = config.kem.identifier == MLKEM768_X25519
        private_key = HybridPrivateKey(raw) if hybrid else X25519PrivateKey.from_private_bytes(raw)
        keys[config.key_id] = ohttp.RecipientKey(config, private_key)
    return keys


@cases("request.json")
def test_request(case: dict[str, Any]) -> None:
    sealed, keys = decoded(case["sealed"]), keys_of(case)

    def opened() -> bytes:
        key = keys.get(ohttp.key_id_of(sealed))
        if key is None:
            raise ohttp.unknown_key()
        return ohttp.decapsulate(key, sealed)[1]

    if case["expect"] != "opens":
        with pytest.raises(SealingError) as refused:
            opened()
        assert refused.value.code == case["expect"]["error"]
        return
    inner, shown = decoded(case["inner"]), case["request"]
    request = bhttp.Request(
        shown["method"], shown["path"], [(name, value) for name, value in shown["fields"]], decoded(shown["content"])
    )
    encoded = request.encode()
    assert padding.padded(encoded, padding.request_length(len(encoded))) == inner == opened()
    assert bhttp.decode_request(inner) == request


@cases("response.json")
def test_response(case: dict[str, Any]) -> None:
    opener = ohttp.ResponseOpener.__new__(ohttp.ResponseOpener)
    opener._suite = hpke.Suite(case["suite"]["kdf_id"], case["suite"]["aead_id"], case["suite"]["kem_id"])
    opener._nonce_bytes = max(hpke.N_NONCE, opener._suite.key_bytes)
    opener._enc, opener._secret = bytes.fromhex(case["enc"]), bytes.fromhex(case["secret"])
    expected = case["expect"]
    if "error" in expected:
        with pytest.raises(SealingError) as refused:
            opener.open(decoded(case["sealed"]))
        assert refused.value.code == expected["error"]
    else:
        response = bhttp.decode_response(opener.open(decoded(case["sealed"])))
        assert response.status == expected["status"]
        assert [list(field) for field in response.fields] == expected["fields"]
        assert response.content == decoded(expected["content"])


@cases("receipt.json")
def test_receipt(case: dict[str, Any]) -> None:
    policy = Policy.from_json(json.dumps(case["policy"]))
    image = None if case["image"] is None else decoded(case["image"])
    expected = case["expect"]
    if "error" in expected:
        with pytest.raises(BlindsightError) as refused:
            receipts.verify(case["answer"], policy=policy, image=image)
        assert refused.value.code == expected["error"]
    else:
        verified = receipts.verify(case["answer"], policy=policy, image=image)
        assert verified.receipt.iat == expected["iat"]
        assert verified.image_checked == (image is not None)


@pytest.mark.parametrize("name", vectors.FILES)
def test_the_files_hold_what_the_generator_makes(name: str) -> None:
    """Keys and signatures are new each time; the cases and what is expected of them are not."""
    kept = json.loads((vectors.FOLDER / name).read_text("utf-8"))["cases"]
    made = json.loads(json.dumps(vectors.FILES[name]()))
    assert [(case["name"], case["expect"]) for case in kept] == [(case["name"], case["expect"]) for case in made]
