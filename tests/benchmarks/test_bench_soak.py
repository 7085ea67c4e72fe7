"""The bounds of a soak: a process that leaks breaks them, one that does not keeps them."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from benchmarks.soak.photos import Photo, WrongAnswer
from benchmarks.soak.samples import Samples, Series
from benchmarks.soak.verdict import floor, judge

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 1800
WARM_UP, WINDOW = 450.0, 180.0


def made(
    memory: Callable[[int], float] = lambda _: 100.0,
    descriptors: Callable[[int], int] = lambda _: 90,
    threads: Callable[[int], int] = lambda _: 6,
) -> Samples:
    """Samples every five seconds of a process; `memory` is in MiB, all by second."""
    seconds = list(range(0, SECONDS + 1, 5))
    series = Series(
        1,
        0,
        [int(1024 * memory(at)) for at in seconds],
        "pss",
        [descriptors(at) for at in seconds],
        [threads(at) for at in seconds],
    )
    return Samples([float(at) for at in seconds], {"gateway": series})


def broken(samples: Samples) -> list[str]:
    return judge(samples, warm_up=WARM_UP, window=WINDOW).breaches


def test_a_process_that_stays_as_it_is_keeps_the_bounds() -> None:
    samples = made(lambda at: 100 + at % 7)
    assert broken(samples) == []
    (row,) = judge(samples, warm_up=WARM_UP, window=WINDOW).rows
    assert abs(row.growth) < 0.01


def test_what_grows_in_the_warm_up_alone_is_no_leak() -> None:
    assert broken(made(lambda at: min(60 + at / 10, 100))) == []


def test_a_leak_of_ten_mebibytes_an_hour_is_found() -> None:
    (breach,) = broken(made(lambda at: 60 + 10 * at / 3600))
    assert "memory grew" in breach


def test_a_leak_that_one_sample_hides_is_found() -> None:
    assert broken(made(lambda at: 60 + at / 100 if at != SECONDS else 60))


def test_a_peak_for_a_moment_is_no_leak() -> None:
    assert broken(made(lambda at: 300 if at % 100 == 0 else 60)) == []


def test_descriptors_and_threads_that_grow_are_found() -> None:
    (breach,) = broken(made(descriptors=lambda at: 90 + at // 200))
    assert "descriptors grew from" in breach
    (breach,) = broken(made(threads=lambda at: 6 if at < 1000 else 7))
    assert "threads grew from 6 to 7" in breach


def test_a_process_that_was_replaced_is_found() -> None:
    samples = made()
    series = samples.series["gateway"]
    for values in (series.memory_kib, series.descriptors, series.threads):
        del values[200:]
    samples.series["gateway (process 2)"] = Series(2, 200, [1] * 161, "pss", [1] * 161, [1] * 161)
    assert len(broken(samples)) == 2


def test_samples_that_are_too_short_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="too short"):
        judge(made(), warm_up=WARM_UP, window=700)


def test_the_floor_shows_a_leak_below_inputs_of_all_sizes() -> None:
    """As in a campaign of mutated photos, where a worker has one of 64 megapixels in memory for a moment."""

    def noisy(at: int) -> float:
        return 70 + (at * 7919 % 300 if at % 15 else 0)

    def leaking(at: int) -> float:
        return noisy(at) + at / 300

    assert judge(made(noisy), warm_up=WARM_UP, window=WINDOW, level=floor).breaches == []
    (breach,) = judge(made(leaking), warm_up=WARM_UP, window=WINDOW, level=floor).breaches
    assert "memory grew" in breach


LEAKING = """
import os, sys, time
leaks, kept = sys.argv[1] == "leak", []
block = os.urandom(40 << 20)
print("begun", flush=True)
while True:
    if leaks:
        kept.append((os.urandom(1 << 19), open("/dev/null")))
    time.sleep(0.05)
"""


@pytest.mark.parametrize("leaks", [True, False])
def test_a_real_process_that_leaks_is_found(*, leaks: bool) -> None:
    """It is sampled as a stack's processes are, for two seconds."""
    command = [sys.executable, "-c", LEAKING, "leak" if leaks else "keep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            samples, begun = Samples(), time.monotonic()
            while (at := time.monotonic() - begun) < 2.2:
                samples.take(at, {"leaking": psutil.Process(process.pid)})
                time.sleep(0.05)
        finally:
            process.kill()
    breaches = judge(samples, warm_up=0.2, window=0.6).breaches
    if leaks:
        assert any("memory grew" in each for each in breaches)
        assert any("descriptors grew" in each for each in breaches)
    else:
        assert breaches == []


SCORES = {0: 0.7, 1: 0.2, 2: 0.1}


def answer(*best: tuple[int, float]) -> dict[str, object]:
    predictions = [
        {"rank": rank, "class_id": class_id, "label": str(class_id), "score": score}
        for rank, (class_id, score) in enumerate(best, start=1)
    ]
    return {"predictions": predictions, "image": {"width": 4, "height": 3}}


def test_an_answer_of_another_photo_is_wrong() -> None:
    photo = Photo("dog.jpeg", b"", SCORES, {"width": 4, "height": 3})
    photo.check(answer((0, 0.7), (1, 0.2)))
    photo.check(answer((0, 0.700001), (1, 0.2)))
    for wrong in (
        answer((1, 0.2), (0, 0.7)),
        answer((0, 0.7), (2, 0.1)),
        answer((0, 0.8), (1, 0.2)),
        answer((0, 0.7), (0, 0.7)),
        answer((3, 0.7)),
        answer((0, 0.7)) | {"image": {"width": 3, "height": 4}},
    ):
        with pytest.raises(WrongAnswer):
            photo.check(wrong)


def test_scores_that_are_equal_may_change_places() -> None:
    photo = Photo("dog.jpeg", b"", {0: 0.400001, 1: 0.4, 2: 0.2}, {"width": 4, "height": 3})
    photo.check(answer((1, 0.400001), (0, 0.4)))
