"""Decoders keep nothing of the images that they have seen, damaged or not: the same ones again need no more memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES, PASSES = 250, 6

DECODING = """
import gc, json, pathlib, sys, tempfile
import numpy
from PIL import Image
from benchmarks.mutated.mutations import mutated
from benchmarks.mutated.originals import FORMATS, of_photos
from photo_classifier import decode

leaks, kept = sys.argv[1] == "leak", []
with tempfile.TemporaryDirectory() as folder:
    photo = pathlib.Path(folder) / "photo.jpeg"
    noise = numpy.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=numpy.uint8)
    Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC).save(photo)
    originals = of_photos([photo])
images = [mutated("memory", number, originals)[2] for number in range(int(sys.argv[2]))]
decode.prepare(FORMATS)
sizes = []
for _ in range(int(sys.argv[3])):
    for image in images:
        try:
            decode.picture(image, taken=FORMATS, least_side=464)
        except decode.InputProblem as problem:
            if leaks:
                kept.append(problem.detail + 20_000 * "x")
    gc.collect()
    sizes.append(int(open("/proc/self/statm").read().split()[1]))
print(json.dumps(sizes))
"""


def sizes(how: str) -> list[int]:
    """Resident pages after each pass."""
    command = [sys.executable, "-c", DECODING, how, str(IMAGES), str(PASSES)]
    path = f"{REPOSITORY}:{REPOSITORY / 'enclave_function'}"
    done = subprocess.run(command, capture_output=True, check=True, env={"PYTHONPATH": path}, text=True)
    found: list[int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("how", ["keep nothing", "leak"])
def test_the_same_images_again_need_no_more_memory(how: str) -> None:
    _, second, *_, last = sizes(how)
    if how == "leak":
        assert last > 1.02 * second, "a leak would not be noticed"
    else:
        assert last <= 1.02 * second
