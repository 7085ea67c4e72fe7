"""The processor time of models, measured in the sessions in which they are served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from enclave_function import times
from enclave_function.bundle import BundleError
from photo_classifier import model
from tests.support.models import write_colour_model
from tests.support.networks import write_network

ROOT = Path(__file__).parents[2]
EXACT = "session.x64quantprecision"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "colours").mkdir()
    write_colour_model(folder / "colours")
    return folder / "colours", write_network(folder / "network", layers=2)


@pytest.mark.parametrize("saturates", [True, False])
def test_the_products_are_exact_where_the_served_ones_are(folders, saturates, monkeypatch):
    exact = []
    create = onnxruntime.InferenceSession

    def record(graph, options, **more):
        try:
            exact.append(options.get_session_config_entry(EXACT))
        except RuntimeError:  # It has no such entry.
            exact.append("0")
        return create(graph, options, **more)

    monkeypatch.setattr(model, "_cuts_sums", lambda: saturates)
    monkeypatch.setattr(model.ort, "InferenceSession", record)
    rounds = list(times.of_models(folders, 3))
    assert exact == ["1" if saturates else "0"] * 2
    assert np.shape(rounds) == (3, 2)
    assert (np.array(rounds) > 0).all()


def test_the_command_prints_a_line_for_each_round(folders):
    command = [sys.executable, "-m", "enclave_function", "times", "--rounds", "4"]
    models = [part for folder in folders for part in ("--model", str(folder))]
    done = subprocess.run([*command, *models], capture_output=True, text=True, check=True, cwd=ROOT)
    rounds = np.array([json.loads(line) for line in done.stdout.splitlines()])
    assert rounds.shape == (4, 2)
    # Two convolutions of 64 channels take longer than a mean.
    assert np.median(rounds[:, 1]) > np.median(rounds[:, 0])


def test_a_model_that_is_not_taken_is_refused(tmp_path):
    with pytest.raises(BundleError, match="does not take the model"):
        list(times.of_models([tmp_path], 1))
