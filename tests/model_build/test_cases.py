"""The shared cases that are to be taken: what is found out of each, and that the function serves it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from model_build.cli import main

FREE = {"layout": "NCHW", "size": [224, 224], "batch": "free", "dtype": "float32"}
LOGITS = {"classes": 1000, "activation": "softmax", "applied_by": "function", "dtype": "float32"}

FIXED: dict[str, Any] = {}
CASES: dict[str, dict[str, Any]] = {
    "tiny1000": FIXED, "dyn_hw": FIXED, "two_outputs": FIXED, "external": FIXED,
    "hf_pixel_values": {"input": {"name": "pixel_values"}, "output": {"name": "logits"}},
    "zoo_data": {"input": {"name": "data"}, "output": {"name": "resnetv17_dense0_fwd"}},
    "fixed_batch1": {"input": {"batch": 1}},
    "nhwc": {"input": {"layout": "NHWC"}},
    "fp16_io": {"input": {"dtype": "float16"}, "output": {"dtype": "float16"}},
    "softmax_inside": {"output": {"applied_by": "graph"}},
    "classes1001": {"output": {"classes": 1001}, "labels": {"offset": 1}},
    "size299": {"input": {"size": [299, 299]}},
}  # fmt: skip
"""What differs from ResNet50's contract; nothing: the manifest has the first format."""


@pytest.mark.parametrize("case", CASES)
def test_what_is_found_out(assets, tmp_path, capsys, case):
    source = assets.parent / "cases" / "models" / f"{case}.onnx"
    if not source.exists():
        pytest.skip("there are no cases beside the assets")
    assert main(["build", "--onnx", str(source), "--out", str(tmp_path / "model")]) == 0
    shown = capsys.readouterr().err
    assert "`model build --normalisation NAME`" in shown  # What was assumed is said, with the option.
    made = json.loads((tmp_path / "model" / "model.json").read_bytes())
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        f"{case}.onnx",
        "imagenet_classes.txt",
        "model.json",
    }
    differs = CASES[case]
    if differs is FIXED:
        assert (made["format"], made["input"]["shape"]) == ("blindsight-model/1", ["N", 3, 224, 224])
        return
    assert made["format"] == "blindsight-model/2"
    assert made["input"] == {"name": "input", **FREE, **differs.get("input", {})}
    assert made["output"] == {"name": "output", **LOGITS, **differs.get("output", {})}
    assert made["labels"]["offset"] == differs.get("labels", {}).get("offset", 0)
    assert made["labels"]["count"] == 1000
    assert main(["check", str(tmp_path / "model")]) == 0
