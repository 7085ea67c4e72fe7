"""Collects the content of a report: evidence, answers with receipts, statements of the gateway, and durations."""

from __future__ import annotations

import hashlib
import math
import platform
import struct
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import httpx2
import rfc8785

import blindsight
from blindsight import files
from blindsight.client import routes
from blindsight.errors import TransportError
from blindsight_cli import replies
from blindsight_cli.hardware import report
from blindsight_cli.photos import MAX_PHOTO_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from blindsight.attestation.recipient import Recipient
    from blindsight.client import Classification, Client

_SIDE: Final = 224
_INFO_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Photo:
    """A photo for the report, which will contain its file name and its labels."""

    name: str
    content: bytes

    @classmethod
    def read(cls, path: Path) -> Photo:
        """Read a photo. Raises `OSError`."""
        return cls(path.name, files.read(path, MAX_PHOTO_BYTES))


def collect(
    client: Client,
    *,
    info: Mapping[str, Any],
    host: Mapping[str, Any],
    photos: Sequence[Photo],
    requests: int,
    progress: Callable[[str], None],
) -> bytes:
    """Verify the enclave, classify `photos`, time requests, and return the content of the report file.

    `info` is the gateway's `/info`; `host` are facts about the machine; `requests` is the number of timed sealed
    requests; `progress` gets lines for the user. No image is sent to an enclave that the policy does not accept. Raises
    the errors of `Client`.
    """
    progress("verifying the enclave")
    began = time.perf_counter()
    verification = client.verify()
    verify_ms = _since(began)
    recipient = _recipient(client)
    answers = []
    for photo in photos:
        progress(f"classifying {photo.name}")
        answers.append(_answer(client, photo))
    progress(f"timing {requests} requests")
    timings = {"verify_ms": verify_ms, **_timings(client, requests)}
    body = {
        "made": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": _versions(info),
        "host": dict(host),
        "model": recipient.manifest,
        "measurements": report.measurements(recipient.verified),
        "verification": verification.to_dict(),
        "notices": list(recipient.notices),
        "confinement": info.get("confinement"),
        "answers": answers,
        "timings": timings,
    }
    progress("asking for the document that ends the report")
    client.verify(nonce=report.nonce_of(body))
    last = _recipient(client)
    return report.encode(body, document=last.document, key_configs=last.key_configs)


def info_of(url: str, proxy: str | None) -> dict[str, Any]:
    """The gateway's unauthenticated statements about itself and its enclave's confinement. Raises `TransportError`."""
    try:
        reply = replies.statement(url, "/info", proxy=proxy, seconds=_INFO_SECONDS)
    except httpx2.ReadTimeout as error:
        raise TransportError("timed_out", "The gateway's /info did not come whole in time.") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        if fault := routes.fault(error):
            raise fault from error
        raise TransportError("unreachable", f"The gateway cannot be reached ({type(error).__name__}).") from error
    except ValueError as error:
        raise TransportError("unexpected_answer", "The gateway's /info is too large.") from error
    said = reply.members()
    if reply.status != 200 or not said:
        raise TransportError("unexpected_answer", "The gateway's /info is not a JSON object.")
    try:
        rfc8785.dumps(said)  # As a report is: numbers and texts that it cannot hold would end it half made.
    except ValueError as error:
        raise TransportError("unexpected_answer", "The gateway's /info has no canonical form.") from error
    return said


def test_picture() -> bytes:
    """A PNG of 224 by 224 pixels, RGB, without content, for the timed requests."""
    rows = b"".join(b"\0" + bytes(value for x in range(_SIDE) for value in (x, y, (x + y) // 2)) for y in range(_SIDE))
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _answer(client: Client, photo: Photo) -> dict[str, Any]:
    began = time.perf_counter()
    answer = client.classify(photo.content, with_receipt=True)
    return {
        "photo": {
            "name": photo.name,
            "sha256": hashlib.sha256(photo.content).hexdigest(),
            "bytes": len(photo.content),
        },
        "seconds": round(_since(began) / 1000, 3),
        "answer": dict(answer.archive or {}),
    }


def _timings(client: Client, requests: int) -> dict[str, Any]:
    picture = test_picture()
    # Not timed: at the first request, connections and caches are cold.
    client.classify(picture, top_k=1)
    took: list[float] = []
    answers: list[Classification] = []
    for _ in range(requests):
        began = time.perf_counter()
        answers.append(client.classify(picture, top_k=1))
        took.append(_since(began))
    stages = {name for answer in answers for name in answer.timings_ms}
    return {
        "requests": requests,
        "lane": "sealed, one after the other",
        "picture": f"PNG, {_SIDE} x {_SIDE}, {len(picture)} bytes",
        "p50_ms": _percentile(took, 50),
        "p95_ms": _percentile(took, 95),
        "max_ms": max(took),
        "enclave_p50_ms": {
            name: _percentile([float(answer.timings_ms.get(name, 0)) for answer in answers], 50)
            for name in sorted(stages)
        },
    }


def _percentile(values: Sequence[float], percent: int) -> float:
    """The percentile by the nearest-rank method."""
    return round(sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)], 2)


def _versions(info: Mapping[str, Any]) -> dict[str, str]:
    return {
        "blindsight": blindsight.__version__,
        "gateway": str(info.get("version", "unknown")),
        "python": platform.python_version(),
        "cryptography": metadata.version("cryptography"),
    }


def _recipient(client: Client) -> Recipient:
    recipient = client.recipient
    if recipient is None:
        # The policy or its release has just expired.
        raise TransportError("unavailable", "The evidence is no longer accepted.")
    return recipient


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)
