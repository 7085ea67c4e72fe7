"""Examples for the OpenAPI page, recorded from the service: the answers to a photo of a dog, and each refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import blindsight
from blindsight.problems import CATALOGUE, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUEST_ID: Final = "b17b386c-5d82-48bf-ba10-861a4434dcd4"
_NOTICE: Final = "SIMULATED ENCLAVE: the evidence proves nothing about the host that runs it."
_ONNX_SHA256: Final = "6db248a3ed727979852c9cbf54db4e0cdbf38c6c8bfeaf090ee29680a99f5e3b"
_ENCLAVE_ID: Final = "c99d7e55d0a1c6a5"
_MODEL_DIGEST: Final = "9fab1d959e9ab033679a69da42255929ff08afafa526d249d3246794f612bb9a"

_MANIFEST: Final = {
    "format": "blindsight-model/1",
    "name": "mobilenet_v2_imagenet",
    "version": "6db248a3ed72",
    "trained": True,
    "weights": {"name": "mobilenet_v2_imagenet.onnx", "sha256": _ONNX_SHA256},
    "onnx": {"file": "mobilenet_v2_imagenet.onnx", "sha256": _ONNX_SHA256, "bytes": 3560108, "opset": 17},
    "input": {"name": "input", "shape": ["N", 3, 224, 224], "dtype": "float32"},
    "output": {"name": "output", "shape": ["N", 1000], "activation": "softmax"},
    "preprocessing": {
        "resize": 232,
        "crop": 224,
        "interpolation": "bilinear",
        "antialias": True,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
    "labels": {
        "file": "imagenet_classes.txt",
        "count": 1000,
        "sha256": "ee4fa67b1dd46919ef87529b70e25bdd1ec9ebd350de3ad426e6640eb70320a1",
    },
    "versions": {"onnxruntime": "1.32.0"},
}
_MODEL: Final = {
    "name": "mobilenet_v2_imagenet",
    "version": "6db248a3ed72",
    "digest": _MODEL_DIGEST,
    "trained": True,
    "precision": "float32",
}
_ENCLAVE: Final = {
    "kind": "simulated",
    "verified": True,
    "function_checksum": "04fbdf22654d9ee721ee0b0c40f0b4b44d01bba9316775a1cab0b2cf74f9a1bd",
    "measurements": {
        "0": "eca84be8bf22792d23a35fb3bc83485ba6feb6cb03490d7942c779abfa598b5d90f057d75e8e60b73964b5406bb23504",
        "1": "c9f6accd8e826257b8301e11b8a6d5198e6bae4e577c83c2de8a4f0fc2bac7862fae542377288aa7b408ef9bfdf534cc",
        "2": "56bab46bce303c1b3d9aa5d3adf7feaf6f9523163a1173525e45f0abb37c33faa0cabf9f5ad5ea84e238c2895d5a6e73",
        "16": "e76bed989c03e6bc74c6d15e34b4ca00264094cf04b9607d6dcd372c42649cf4b3e07dd673448d05aa9f6ed425fe75c1",
    },
}
_PREDICTIONS: Final = [
    {"rank": 1, "class_id": 207, "label": "golden retriever", "score": 0.980694704440784},
    {"rank": 2, "class_id": 208, "label": "Labrador retriever", "score": 0.010246548300888773},
    {"rank": 3, "class_id": 852, "label": "tennis ball", "score": 0.0020557750733782316},
    {"rank": 4, "class_id": 215, "label": "Brittany spaniel", "score": 0.0016155903791840443},
    {"rank": 5, "class_id": 216, "label": "clumber", "score": 0.001200522960199088},
]
_PHOTO: Final = {
    "request_id": _REQUEST_ID,
    "predictions": _PREDICTIONS,
    "model": _MODEL,
    "image": {"width": 1200, "height": 602},
    "enclave": _ENCLAVE,
    "timings_ms": {"decode": 6.721, "preprocess": 4.805, "run": 6.188, "enclave": 20.932},
    "notice": _NOTICE,
}
# Six kilobytes of base64 would hide the rest: what is long is cut where the ellipsis stands.
_DOCUMENT: Final = "hEShATgioFkRkr9pbW9kdWxlX2lkeCdpLWU3NWNkZDBiZmYyNTI2MmYwLWVuYzJlMTg2…"
_RECEIPT: Final = "eyJhbGciOiJFUzI1NiIsImp3ayI6eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwi…"
_READING: Final = {
    "kind": "simulated",
    "notice": _NOTICE,
    "at": "2026-11-26T07:41:14.484048+00:00",
    "archived": False,
    "release": None,
    "left_open": [],
    "steps": [
        {
            "number": 1,
            "name": "Envelope",
            "checked": "4573 bytes",
            "against": "COSE_Sign1 with ES384",
            "result": "passed",
        },
        {
            "number": 7,
            "name": "Measurements",
            "checked": "PCR 0, 1, 2, 16",
            "against": "the policy's accepted values",
            "result": "passed",
        },
    ],
}

_ALIVE: Final = {"alive": ("The process runs", {"status": "alive"})}
_READY: Final = {"ready": ("Requests are answered", {"status": "ready"})}

ANSWERS: Final[Mapping[str, Mapping[str, tuple[str, Any]]]] = {
    "classify": {
        "photo": ("A photo of a dog", _PHOTO),
        "receipt": (
            "With a receipt (?receipt=true&top_k=1)",
            _PHOTO
            | {
                "predictions": _PREDICTIONS[:1],
                "receipt": _RECEIPT,
                "evidence": {"document": _DOCUMENT, "model": _MANIFEST},
            },
        ),
    },
    "classifyBatch": {
        "batch": (
            "A photo, and a file that is none",
            {
                "request_id": _REQUEST_ID,
                "results": [
                    {
                        "predictions": _PREDICTIONS[:2],
                        "image": {"width": 1200, "height": 602},
                        "timings_ms": {"decode": 6.692, "preprocess": 4.911, "run": 6.291, "enclave": 21.262},
                    },
                    {"problem": Problem("not_an_image", "These bytes are not a JPEG, PNG or WebP image.").body()},
                ],
                "model": _MODEL,
                "enclave": _ENCLAVE,
                "notice": _NOTICE,
            },
        )
    },
    "getAttestation": {
        "evidence": (
            "Evidence of a simulated enclave",
            {
                "format": "blindsight-attestation/1",
                "document": _DOCUMENT,
                "key_configs": "BNG/ZHocSXPj2jej82ULNrWsxAIKAYX0jLYvJXmsVhf6FAn94Z+j1ZQv2o8wsb47…",
                "model": _MANIFEST,
                "kind": "simulated",
                "enclave_id": _ENCLAVE_ID,
                "enclaves": [_ENCLAVE_ID],
                "reading": _READING,
            },
        )
    },
    "getLiveness": _ALIVE,
    "getReadiness": _READY,
    "getServerLive": _ALIVE,
    "getServerReady": _READY,
    "getInfo": {
        "info": (
            "A gateway before a simulated enclave",
            {
                "name": "blindsight",
                "version": blindsight.__version__,
                "model": _MANIFEST | {"digest": _MODEL_DIGEST},
                "confinement": {
                    "layers": ["user ids", "namespaces", "cgroup", "landlock", "seccomp"],
                    "landlock_abi": 7,
                    "absent": {},
                    "gaps": [],
                },
                "enclaves": [{"id": _ENCLAVE_ID, "ready": True, "model_digest": _MODEL_DIGEST}],
                "limits": {
                    "max_image_bytes": 20971520,
                    "max_batch_images": 64,
                    "max_batch_bytes": 67108864,
                    "max_in_flight": 64,
                    "deadline_seconds": 30.0,
                },
                "links": {
                    "classify": "/classify",
                    "batch": "/classify/batch",
                    "sealed": "/ohttp",
                    "keys": "/.well-known/ohttp-gateway",
                    "attestation": "/attestation",
                    "ready": "/readyz",
                    "docs": "/docs",
                    "openapi": "/openapi.json",
                    "problems": "/problems",
                },
                "notices": [_NOTICE],
            },
        )
    },
}
"""By operation: examples of its answer, each with a title."""

_REFUSALS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "bad_request": ("The request's head has more than 65536 bytes.", {}),
    "empty_body": ("The form has no image in a field called 'file' or 'image'.", {}),
    "bad_multipart": ("The multipart form ends before its last boundary.", {}),
    "bad_json": ("The body is not JSON.", {}),
    "unauthenticated": ("Send an API token: `Authorization: Bearer bs_…`.", {}),
    "cross_origin": ("A page of another origin may not do this. The operator sets BLINDSIGHT_ORIGINS.", {}),
    "not_found": ("There is no enclave with this id; /info lists them.", {}),
    "request_timeout": ("The body did not arrive within 30 s.", {}),
    "image_too_large": ("The image has more than 20971520 bytes.", {"limit_bytes": 20971520}),
    "unsupported_media_type": (
        "This is GIF; this model takes JPEG, PNG and WebP: save it as JPEG, PNG or WebP with an image editor.",
        {},
    ),
    "unknown_host": ("Ask by a name that is this gateway's. Its operator sets BLINDSIGHT_HOSTS.", {}),
    "not_an_image": ("These bytes are not a JPEG, PNG or WebP image.", {}),
    "truncated_image": ("The JPEG is truncated or damaged: its pixels are incomplete or cannot be decoded.", {}),
    "too_many_pixels": ("The image has 12000x9000 pixels, more than 67108864.", {"limit_pixels": 67108864}),
    "too_many_images": ("At most 64 image(s) fit in one request.", {"limit_images": 64}),
    "cannot_decrypt": ("The text is no Cape ciphertext: those begin with 'cape:'.", {}),
    "ohttp_key": ("Fetch and verify the key configurations, and seal anew.", {}),
    "invalid_tensor": ("The tensor contains values that are not finite numbers.", {}),
    "invalid_top_k": ("top_k must be one whole number from 1 to 1000.", {"minimum": 1, "maximum": 1000}),
    "invalid_parameter": ("receipt must be true or false, once.", {}),
    "rate_limited": (
        "At most 10 requests per second. Try again in 1 s.",
        {"policy": "requests-per-second", "retry_after": 1},
    ),
    "quota_exceeded": (
        "At most 100000 images per month. 12 are left. Try again in 86400 s.",
        {"policy": "images-per-month", "retry_after": 86400},
    ),
    "internal": ("This is our fault; the request id names it in our logs.", {}),
    "overloaded": ("All 64 places are taken.", {}),
    "draining": ("This gateway is shutting down; another one, or this one later, will answer.", {}),
    "worker_lost": ("The worker ended while it processed this image; send it again.", {}),
    "enclave_unavailable": ("The enclave cannot be reached; it may be restarting.", {}),
    "evidence_refused": (
        "PCR 2 is 56bab46b…, which the policy does not accept. Ask the operator for the policy of this release.",
        {"evidence_code": "pcr_mismatch", "verification_step": 7},
    ),
    "deadline_exceeded": ("The enclave did not answer within 30 s.", {}),
}


def refusal(code: str) -> dict[str, Any]:
    """An example of the problem `code`, with its title."""
    detail, extra = _REFUSALS[code]
    body = Problem(code, detail, **extra).body()
    return {"summary": CATALOGUE[code].title, "value": {**body, "instance": f"urn:uuid:{_REQUEST_ID}"}}
