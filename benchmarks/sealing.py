"""`python -m benchmarks.sealing`: what it costs a caller to seal, against the plain lane of the same gateway.

One caller asks in both lanes by turns, request by request, so that a drift of the machine meets both alike; then many
callers keep the gateway busy, in turns of each lane. The sealed lane's figures include everything that a client does:
making the request, padding, sealing, opening the answer and decoding it. Evidence is verified once before.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import stack
from benchmarks.inputs import default_model, default_photo
from benchmarks.load import WrongAnswer
from benchmarks.stack import ROOT, Service, StackError
from blindsight import Client
from blindsight.exchange import classify_request
from blindsight.sealing import bhttp, keyconfig, ohttp, padding
from blindsight.sealing.kem import KEMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindsight.attestation.recipient import Recipient
    from blindsight.sealing.keyconfig import KeyConfig

_TIMEOUT_SECONDS = 30.0
_PLAIN = "plain"


@dataclass
class Lane:
    """A way to ask, and the latencies, in seconds, of one caller in it."""

    name: str
    ask: Callable[[http.client.HTTPConnection], dict[str, Any]]
    latencies: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    """Images a second with many callers, of each turn."""


def lanes(photo: bytes, recipient: Recipient) -> list[Lane]:
    """The plain lane, and the sealed one with each key configuration."""
    configs = keyconfig.decode_list(recipient.key_configs)
    sealed = [Lane(KEMS[config.kem.identifier].name, _sealed(photo, config)) for config in configs]
    return [Lane(_PLAIN, _plain(photo)), *sealed]


def _plain(photo: bytes) -> Callable[[http.client.HTTPConnection], dict[str, Any]]:
    def ask(connection: http.client.HTTPConnection) -> dict[str, Any]:
        return _object(_post(connection, photo, "image/jpeg"))

    return ask


def _sealed(photo: bytes, config: KeyConfig) -> Callable[[http.client.HTTPConnection], dict[str, Any]]:
    def ask(connection: http.client.HTTPConnection) -> dict[str, Any]:
        request = classify_request(photo, 5, now=datetime.now(UTC), receipt_evidence=None).encode()
        message, opener = ohttp.encapsulate(config, padding.padded(request, padding.request_length(len(request))))
        answer = opener.open(_post(connection, message, ohttp.REQUEST_MEDIA_TYPE))
        return _object(bhttp.decode_response(answer).content)

    return ask


def _post(connection: http.client.HTTPConnection, body: bytes, media_type: str) -> bytes:
    connection.request("POST", "/classify", body, {"Content-Type": media_type})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise WrongAnswer(f"status {response.status}")
    return content


def _object(content: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(content)
    if "predictions" not in answer:
        raise WrongAnswer(f"no predictions: {answer.get('code')}")
    return answer


def alternate(service: Service, compared: list[Lane], seconds: float) -> None:
    """One caller, one request in each lane after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=_TIMEOUT_SECONDS)
    classes = set()
    end = time.perf_counter() + seconds
    turn = 0
    while time.perf_counter() < end:
        # Each lane in each place of the sequence equally often.
        for lane in compared[turn % len(compared) :] + compared[: turn % len(compared)]:
            begun = time.perf_counter()
            answer = lane.ask(connection)
            lane.latencies.append(time.perf_counter() - begun)
            classes.add(tuple(item["class_id"] for item in answer["predictions"]))
        turn += 1
    connection.close()
    if len(classes) != 1:
        raise WrongAnswer("two answers to one photo differ")


def throughput(service: Service, lane: Lane, callers: int, seconds: float) -> None:
    """Images a second with `callers` callers at work."""
    stop, done, failures = threading.Event(), [0] * callers, []

    def call(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=_TIMEOUT_SECONDS)
        try:
            while not stop.is_set():
                lane.ask(connection)
                done[number] += 1
        except (OSError, http.client.HTTPException, WrongAnswer) as error:
            failures.append(f"{lane.name}: {error}")
            stop.set()
        finally:
            connection.close()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    stop.wait(seconds / 4)
    begun, before = time.perf_counter(), sum(done)
    stop.wait(seconds)
    lane.rates.append((sum(done) - before) / (time.perf_counter() - begun))
    stop.set()
    for thread in threads:
        thread.join()
    if failures:
        raise WrongAnswer(failures[0])


def report(compared: list[Lane], callers: int) -> str:
    """A table of Markdown: medians, what sealing adds to them, and throughput as a share of the plain lane's."""
    plain = compared[0]
    lines = [
        f"| lane | p50 ms, 1 caller | added ms | images/s, {callers} callers | of plain |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for lane in compared:
        added = median(one - other for one, other in zip(lane.latencies, plain.latencies, strict=True)) * 1000
        ratios = sorted(one / other for one, other in zip(lane.rates, plain.rates, strict=True))
        spread = f" ({ratios[0]:.3f}..{ratios[-1]:.3f})" if lane is not plain else ""
        lines.append(
            f"| {lane.name} | {median(lane.latencies) * 1000:.2f} | {added:+.2f} | {median(lane.rates):.2f} |"
            f" {median(ratios):.3f}{spread} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print; one line on standard error says what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sealing", description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, help="model directory (default: ResNet50 with untrained weights)")
    parser.add_argument("--photo", type=Path, help="default: dog.jpeg of $BLINDSIGHT_ASSETS, or a made one")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the one caller (default %(default)s)")
    parser.add_argument("--callers", type=int, default=16, help="for the throughput (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each lane (default %(default)s)")
    parser.add_argument("--turn", type=float, default=6.0, help="seconds of a turn (default %(default)s)")
    options = parser.parse_args()
    assets = os.environ.get("BLINDSIGHT_ASSETS")
    out = ROOT / "benchmarks" / "out"
    try:
        out.mkdir(parents=True, exist_ok=True)
        model = options.model_dir or default_model(out / "model")
        photo = (options.photo or default_photo(out, Path(assets) if assets else None)).read_bytes()
        with tempfile.TemporaryDirectory(prefix="sealing-") as work, stack.blindsight(model, Path(work)) as service:
            with Client(f"http://127.0.0.1:{service.port}", policy=Path(work) / "policy.json") as client:
                client.verify()
                recipient = client.recipient
            if recipient is None:
                raise StackError("the evidence was too old when it came")
            compared = lanes(photo, recipient)
            alternate(service, lanes(photo, recipient), 3.0)  # Warm-up, of which nothing is kept.
            alternate(service, compared, options.seconds)
            for number in range(options.rounds):
                for lane in compared if number % 2 == 0 else reversed(compared):
                    throughput(service, lane, options.callers, options.turn)
        print(f"{len(compared[0].latencies)} requests in each lane, {options.rounds} turns with many callers")
        print(report(compared, options.callers))
    except (StackError, OSError, WrongAnswer, psutil.Error) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
