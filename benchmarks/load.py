"""The load generator: a fixed number of callers, each on a kept connection, each asking again once it is answered.

`python -m benchmarks.load PORT PHOTO CALLERS WARM_UP SECONDS` prints `begin` and `end` when the counted time begins and
ends, and then one JSON object. Callers do not pause in between: what is counted is a steady state.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

_TIMEOUT_SECONDS = 30.0
_SCORE_TOLERANCE = 1e-6
"""Scores of one photo may differ by the order in which threads add; ranks may not."""


class WrongAnswer(Exception):
    """An answer that is not 200 or not like the first one."""


@dataclass
class Load:
    """Callers at work on one service. Times are `time.perf_counter()`."""

    port: int
    body: bytes
    content_type: str
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[float, float, bytes]] = field(default_factory=list)
    """Begin, end and content, in order of their ends."""
    failures: list[str] = field(default_factory=list)

    def call_repeatedly(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS)
        headers = {"Content-Type": self.content_type}
        try:
            while not self.stop.is_set():
                begun = time.perf_counter()
                connection.request("POST", "/classify", self.body, headers)
                response = connection.getresponse()
                content = response.read()
                if response.status != 200:
                    raise WrongAnswer(f"status {response.status}")
                self.answers.append((begun, time.perf_counter(), content))
        except (OSError, http.client.HTTPException, WrongAnswer) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            self.stop.set()
        finally:
            connection.close()


def main(port: int, photo: Path, callers: int, warm_up: float, seconds: float) -> dict[str, Any]:
    """Keep `callers` callers busy for `warm_up` and `seconds`. Raises `WrongAnswer` for the first bad answer."""
    load = Load(port, *multipart(photo.read_bytes()))
    threads = [threading.Thread(target=load.call_repeatedly) for _ in range(callers)]
    for thread in threads:
        thread.start()
    load.stop.wait(warm_up)
    began, cpu = time.perf_counter(), time.process_time()
    print("begin", flush=True)
    load.stop.wait(seconds)
    ended, cpu = time.perf_counter(), time.process_time() - cpu
    print("end", flush=True)
    load.stop.set()
    for thread in threads:
        thread.join()
    if load.failures:
        raise WrongAnswer(load.failures[0])
    contents = [json.loads(content) for _, _, content in load.answers]
    check_alike([content["predictions"] for content in contents])
    counted = [began <= end <= ended for _, end, _ in load.answers]
    if not any(counted):
        raise WrongAnswer("no answer came within the counted time")
    timings = [content["timings_ms"] for content, within in zip(contents, counted, strict=True)
               if within and "timings_ms" in content]  # fmt: skip
    return {
        "seconds": ended - began,
        "latencies": [end - begin for (begin, end, _), within in zip(load.answers, counted, strict=True) if within],
        "stages": {name: median(timing[name] for timing in timings) / 1000 for name in (timings[0] if timings else {})},
        "predictions": contents[0]["predictions"],
        "generator_cpu_seconds": cpu,
    }


def multipart(photo: bytes) -> tuple[bytes, str]:
    """The form that `curl -F file=@photo.jpeg` sends, and its media type."""
    boundary = b"------------------------blindsight"
    head = b'Content-Disposition: form-data; name="file"; filename="photo.jpeg"\r\nContent-Type: image/jpeg'
    body = b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + photo + b"\r\n--" + boundary + b"--\r\n"
    return body, f"multipart/form-data; boundary={boundary.decode()}"


def check_alike(answers: list[list[dict[str, Any]]]) -> None:
    """Raise `WrongAnswer` unless all `answers` name the classes of the first, in its order, with its scores."""
    first = answers[0]
    for answer in answers:
        same = [item["class_id"] for item in answer] == [item["class_id"] for item in first]
        if not same or any(
            abs(item["score"] - expected["score"]) > _SCORE_TOLERANCE
            for item, expected in zip(answer, first, strict=True)
        ):
            raise WrongAnswer("two answers to one photo differ")


if __name__ == "__main__":
    _port, _photo, _callers, _warm_up, _seconds = sys.argv[1:]
    try:
        print(json.dumps(main(int(_port), Path(_photo), int(_callers), float(_warm_up), float(_seconds))))
    except WrongAnswer as _error:
        sys.exit(f"load: {_error}")
