"""Answers to `POST /classify` that hold everything an answer does, but one thing of another type or out of range."""

from __future__ import annotations

import copy
from typing import Any

GOOD: dict[str, Any] = {
    "predictions": [
        {"rank": 1, "class_id": 207, "label": "golden retriever", "score": 0.9},
        {"rank": 2, "class_id": 208, "label": "Labrador retriever", "score": 0.1},
    ],
    "model": {"name": "tiny", "version": "1", "digest": "ab", "trained": True, "precision": "float32"},
    "image": {"width": 4, "height": 3},
    "timings_ms": {"decode": 1.0, "preprocess": 2.0, "run": 3.0},
}

_OF_PREDICTIONS: dict[str, list[object]] = {
    "rank": [True, "1", None, 1.5, 0, -1, [], {}],
    "class_id": [True, "207", None, 207.5, -1, [], {}],
    "label": [1, None, True, ["x"], {"x": "y"}],
    "score": [10**400, -(10**400), "nan", "0.5", float("nan"), float("inf"), True, False, None, -0.1, 1.1, [], {}],
}
_OF_MODELS: dict[str, list[object]] = {
    "name": [1, None, []],
    "version": [1, None, {}],
    "digest": [1, None],
    "trained": ["true", 1, None],
    "precision": [8, None, True, ["int8"], {"name": "int8"}],
    "multi_label": ["true", 1, []],
}
_OF_ANSWERS: dict[str, list[object]] = {
    "predictions": [None, 5, "x", {}, {"0": GOOD["predictions"][0]}, [[]], ["x"], [None], [1], [{}], [[["rank", 1]]]],
    "model": [None, 5, "x", [], [["name", "tiny"]], True],
}
OF_THE_ENCLAVE: dict[str, list[object]] = {
    "image": [5, "x", [], [["width", 1], ["height", 1]], {"width": "4", "height": 3}, {"width": True, "height": 3}, {}],
    "timings_ms": [None, 5, "x", [["run", 1.0]], {"run": "1"}, {"run": None}, {"run": True}, {"run": 10**400}],
}
"""Members that only the client library looks at."""


def _of(table: dict[str, list[object]]) -> dict[str, dict[str, Any]]:
    return {f"{name} {_short(value)}": GOOD | {name: value} for name, values in table.items() for value in values}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:20]}… of {len(text)}"


def _predictions() -> dict[str, dict[str, Any]]:
    found = {}
    for name, values in _OF_PREDICTIONS.items():
        for value in values:
            answer = copy.deepcopy(GOOD)
            answer["predictions"][1][name] = value
            found[f"prediction {name} {_short(value)}"] = answer
        answer = copy.deepcopy(GOOD)
        del answer["predictions"][1][name]
        found[f"prediction without {name}"] = answer
    return found


def _models() -> dict[str, dict[str, Any]]:
    return {
        f"model {name} {_short(value)}": GOOD | {"model": GOOD["model"] | {name: value}}
        for name, values in _OF_MODELS.items()
        for value in values
    }


MALFORMED: dict[str, dict[str, Any]] = {**_of(_OF_ANSWERS), **_predictions(), **_models()}
"""By what is wrong. Gateways and enclaves can send them; `json.dumps` writes NaN and infinity as servers do."""

MALFORMED_OF_THE_ENCLAVE: dict[str, dict[str, Any]] = {**MALFORMED, **_of(OF_THE_ENCLAVE)}

MALFORMED_OF_GATEWAYS: dict[str, dict[str, Any]] = {
    **MALFORMED,
    **_of({
        "problem": [None, 1, "x", [], {}, {"title": "x"}, {"title": "x", "detail": "y", "retryable": True}],
        "file": ["other.jpeg", None],
        "notice": [1, True, ["x"], {"x": 1}],
        "receipt": [1, True, {}],
    }),
}  # fmt: skip
