"""Makes the JSON vectors of docs/protocol.md: `python -m tests.support.vectors` writes tests/vectors anew."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785

from blindsight import receipts
from blindsight.exchange import classify_request
from blindsight.receipts import Receipt, ReceiptKey
from blindsight.sealing import bhttp, ohttp, padding
from tests.blindsight.attestation.attestation_forge import NOW
from tests.support.vector_enclave import MANIFEST, SEED, X25519_KEY, VectorEnclave

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parents[1] / "vectors"

Case = dict[str, Any]

IMAGE = b"\xff\xd8\xff not much of a photo"
PREDICTIONS = [
    {"rank": 1, "class_id": 207, "label": "golden retriever", "score": 0.9807},
    {"rank": 2, "class_id": 1, "label": "caf\u00e9 \u2028", "score": 1.5e-07},
]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def requests() -> list[Case]:
    enclave = VectorEnclave()
    common = {
        "key_configs": _b64(enclave.configs),
        "private_keys": {"17": SEED.hex(), "18": X25519_KEY.hex()},
    }
    cases: list[Case] = []
    for key_id, key in enclave.keys.items():
        for suite in key.config.suites:
            for size in (len(IMAGE), 40_000) if suite is key.config.suites[0] else (len(IMAGE),):
                request = classify_request(
                    IMAGE.ljust(size, b"."),
                    5,
                    now=NOW,
                    receipt_evidence="12" * 32 if size > 100 else None,
                )
                inner = request.encode()
                inner = padding.padded(inner, padding.request_length(len(inner)))
                sealed, _ = ohttp.encapsulate(key.config, inner, suite=suite)
                cases.append(
                    {
                        "name": f"key {key_id}, AEAD {suite.aead_id}, {size} bytes",
                        **common,
                        "inner": _b64(inner),
                        "request": _shown(request),
                        "sealed": _b64(sealed),
                        "expect": "opens",
                    }
                )
    changes: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
        "a key id that is not offered": ("unknown_key", lambda sealed: b"\x63" + sealed[1:]),
        "an AEAD that is not offered": ("unknown_key", lambda sealed: sealed[:5] + b"\xff\xff" + sealed[7:]),
        "another AEAD than it was sealed with": ("cannot_open", lambda sealed: sealed[:6] + b"\x03" + sealed[7:]),
        "a bit of enc": ("cannot_open", lambda sealed: sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:]),
        "a bit of the end": ("cannot_open", lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1])),
        "cut by a byte": ("cannot_open", lambda sealed: sealed[:-1]),
        "cut to its header": ("malformed_message", lambda sealed: sealed[:7]),
    }
    for base in (cases[0], cases[4]):
        sealed = base64.b64decode(base["sealed"])
        for name, (code, change) in changes.items():
            cases.append(
                base
                | {
                    "name": f"{base['name']}: {name}",
                    "inner": "",
                    "sealed": _b64(change(sealed)),
                    "expect": {"error": code},
                }
            )
    return cases


def responses() -> list[Case]:
    enclave = VectorEnclave()
    answer = bhttp.Response(200, [("content-type", "application/json")], b'{"predictions": []}')
    problem = bhttp.Response(422, [("content-type", "application/problem+json")], b'{"code": "not_an_image"}')
    cases: list[Case] = []
    for key in enclave.keys.values():
        for suite in key.config.suites:
            for response in (answer, problem):
                sealed, opener = ohttp.encapsulate(key.config, b"a question", suite=suite)
                sealer = ohttp.decapsulate(key, sealed)[2]
                encoded = padding.padded(response.encode(), padding.SMALLEST_ANSWER)
                cases.append(
                    {
                        "name": f"KEM {suite.kem_id:#06x}, AEAD {suite.aead_id}, status {response.status}",
                        "suite": {"kem_id": suite.kem_id, "kdf_id": suite.kdf_id, "aead_id": suite.aead_id},
                        "secret": opener._secret.hex(),
                        "enc": opener._enc.hex(),
                        "sealed": _b64(sealer.seal(encoded)),
                        "expect": {
                            "status": response.status,
                            "fields": [list(field) for field in response.fields],
                            "content": _b64(response.content),
                        },
                    }
                )
    changes: dict[str, Callable[[bytes], bytes]] = {
        "cut by a byte": lambda sealed: sealed[:-1],
        "cut to its nonce": lambda sealed: sealed[:16],
        "empty": lambda _: b"",
        "a bit of the nonce": lambda sealed: bytes([sealed[0] ^ 1]) + sealed[1:],
        "a bit of the content": lambda sealed: sealed[:50] + bytes([sealed[50] ^ 1]) + sealed[51:],
        "longer": lambda sealed: sealed + b"\x00",
    }
    for base in (cases[0], cases[6]):
        sealed = base64.b64decode(base["sealed"])
        for name, change in changes.items():
            cases.append(
                base
                | {
                    "name": f"{base['name']}: {name}",
                    "sealed": _b64(change(sealed)),
                    "expect": {"error": "cannot_open"},
                }
            )
        other = next(case for case in cases if case["suite"] == base["suite"] and case["enc"] != base["enc"])
        cases.append(
            base
            | {
                "name": f"{base['name']}: another's answer",
                "sealed": other["sealed"],
                "expect": {"error": "cannot_open"},
            }
        )
    return cases


def receipt_cases() -> list[Case]:
    enclave = VectorEnclave()
    document = enclave.document()
    answer: dict[str, Any] = {
        "predictions": PREDICTIONS,
        "image": {"width": 640, "height": 480},
        "timings_ms": {"run": 12.5},
        "model": {"name": "vectors", "version": "1", "digest": enclave.claims.model_sha256.hex(), "trained": True},
    }
    right = Receipt(
        iat=int(NOW.timestamp()) + 5,
        input_sha256=hashlib.sha256(IMAGE).hexdigest(),
        output_sha256=receipts.output_digest(answer),
        func_checksum=enclave.claims.func_checksum.hex(),
        model_sha256=enclave.claims.model_sha256.hex(),
        weights_sha256=MANIFEST["onnx"]["sha256"],
        evidence_sha256=hashlib.sha256(document).hexdigest(),
    )
    signed = enclave.receipt_key.sign(right)
    kept = receipts.archive(answer | {"receipt": signed}, document=document, manifest=MANIFEST)
    good: Case = {"answer": kept, "policy": enclave.policy(), "image": _b64(IMAGE)}
    cases: list[Case] = [
        {"name": "genuine", **good, "expect": {"iat": right.iat}},
        {"name": "without the image", **good, "image": None, "expect": {"iat": right.iat}},
        {
            "name": "other timings, which are not signed",
            **good,
            "answer": kept | {"timings_ms": {}},
            "expect": {"iat": right.iat},
        },
    ]

    def refused(name: str, code: str, answer: dict[str, Any] | None = None, **changes: Any) -> None:
        cases.append(
            {
                "name": name,
                **good,
                **({"answer": kept | answer} if answer else {}),
                **changes,
                "expect": {"error": code},
            }
        )

    def resigned(key: ReceiptKey = enclave.receipt_key, **changes: Any) -> dict[str, Any]:
        return {"receipt": key.sign(replace(right, **changes))}

    header, payload, signature = signed.split(".")
    other = _text({**asdict(right), "iat": right.iat + 1})
    refused("no receipt", "malformed_receipt", {"receipt": None})
    refused("two parts", "malformed_receipt", {"receipt": f"{header}.{payload}"})
    refused("padded base64", "malformed_receipt", {"receipt": f"{header}.{payload}=.{signature}"})
    refused("no evidence", "malformed_receipt", {"evidence": None})
    refused("alg none", "malformed_receipt", {"receipt": f"{_header(header, alg='none')}.{payload}."})
    refused("alg HS256", "malformed_receipt", {"receipt": f"{_header(header, alg='HS256')}.{payload}.{signature}"})
    refused("another type", "malformed_receipt", {"receipt": f"{_header(header, typ='JWT')}.{payload}.{signature}"})
    refused(
        "a header member more", "malformed_receipt", {"receipt": f"{_header(header, kid='1')}.{payload}.{signature}"}
    )
    refused("another's key", "receipt_key_mismatch", resigned(ReceiptKey()))
    refused("a payload changed", "receipt_signature_invalid", {"receipt": f"{header}.{other}.{signature}"})
    spaced = base64.urlsafe_b64encode(json.dumps(asdict(right)).encode()).rstrip(b"=").decode()
    refused("a payload in another spelling", "malformed_receipt", {"receipt": enclave.signed(f"{header}.{spaced}")})
    refused("another schema", "malformed_receipt", resigned(schema="blindsight-receipt/2"))
    refused("a digest in capitals", "malformed_receipt", resigned(input_sha256=right.input_sha256.upper()))
    refused("a time that is none", "malformed_receipt", resigned(iat=True))
    refused("other evidence", "receipt_evidence_mismatch", resigned(evidence_sha256="12" * 32))
    refused("another function", "receipt_function_mismatch", resigned(func_checksum="12" * 32))
    refused("another model", "receipt_model_mismatch", resigned(model_sha256="12" * 32))
    refused("other weights", "receipt_model_mismatch", resigned(weights_sha256="12" * 32))
    refused("another output signed", "receipt_output_mismatch", resigned(output_sha256="12" * 32))
    refused(
        "another label", "receipt_output_mismatch", {"predictions": [PREDICTIONS[0] | {"label": "cat"}, PREDICTIONS[1]]}
    )
    refused(
        "a score changed",
        "receipt_output_mismatch",
        {"predictions": [PREDICTIONS[0] | {"score": 0.98}, PREDICTIONS[1]]},
    )
    refused("another size", "receipt_output_mismatch", {"image": None})
    refused("another model in the answer", "receipt_output_mismatch", {"model": kept["model"] | {"trained": False}})
    refused("another image", "receipt_input_mismatch", image=_b64(IMAGE + b"."))
    refused("a minute too early", "receipt_time_implausible", resigned(iat=int(NOW.timestamp()) - 61))
    refused("a day too late", "receipt_time_implausible", resigned(iat=int(NOW.timestamp()) + 86_401))
    refused("another manifest", "model_mismatch", {"evidence": kept["evidence"] | {"model": MANIFEST | {"name": "x"}}})
    refused(
        "a policy that does not accept it",
        "function_not_accepted",
        policy=enclave.policy(function_checksums=["12" * 32]),
    )
    refused(
        "a debug enclave",
        "debug_document",
        {
            "evidence": kept["evidence"]
            | {"document": _b64(enclave.document(pcrs=enclave.pcrs() | dict.fromkeys(range(3), bytes(48))))}
        },
    )
    return cases


def _text(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(rfc8785.dumps(value)).rstrip(b"=").decode()


def _header(header: str, **changes: str) -> str:
    return _text(json.loads(base64.urlsafe_b64decode(header + "==")) | changes)


def _shown(request: bhttp.Request) -> dict[str, Any]:
    fields = [list(field) for field in request.fields]
    return {"method": request.method, "path": request.path, "fields": fields, "content": _b64(request.content)}


FILES: dict[str, Callable[[], list[Case]]] = {
    "request.json": requests,
    "response.json": responses,
    "receipt.json": receipt_cases,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, make in FILES.items():
        text = json.dumps({"cases": make()}, indent=1, ensure_ascii=True)
        (FOLDER / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
