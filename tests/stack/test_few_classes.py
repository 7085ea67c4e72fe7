"""A model with fewer classes than an answer has by default: every lane answers with all of them."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from blindsight import AsyncClient, Client
from tests.support.models import write_tiny_model
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack

LABELS = ["red", "green", "blue"]
PICTURE = np.zeros((1, 3, 224, 224), np.float32)
PICTURE[0, 1] = 1.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("three-classes")
    (folder / "model").mkdir()
    model = write_tiny_model(folder / "model", np.eye(3) * 4, np.zeros(3), LABELS)
    with running_stack(model.folder, folder, workers=1) as running:
        yield running


def test_the_plain_lane(stack: Stack):
    answer = stack.client.post(
        "/classify", content=PICTURE.tobytes(), headers={"content-type": "application/octet-stream"}
    )
    assert answer.status_code == 200, answer.text
    assert [each["label"] for each in answer.json()["predictions"]] == ["green", "red", "blue"]


def test_the_sealed_lane_of_the_blocking_client(stack: Stack):
    with Client(stack.gateway.url, policy=stack.policy) as client:
        assert [each.label for each in client.classify(PICTURE.tobytes()).predictions] == ["green", "red", "blue"]
        assert len(client.classify(PICTURE.tobytes(), top_k=2).predictions) == 2


async def test_the_sealed_lane_of_the_asynchronous_client(stack: Stack):
    async with AsyncClient(stack.gateway.url, policy=stack.policy) as client:
        assert len((await client.classify(PICTURE.tobytes())).predictions) == 3


def test_the_cape_handler(stack: Stack, tmp_path: Path):
    with zipfile.ZipFile(stack.bundle) as bundle:
        bundle.extractall(tmp_path)
    code = "import sys, app; sys.stdout.write(app.cape_handler(sys.stdin.buffer.read()))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=PICTURE.tobytes(), capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)) == ["green", "red", "blue"]
