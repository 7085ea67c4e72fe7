"""Trains a logistic regression on one batch after another; `params.json` holds what it has learnt on a connection."""

import json
import math
from pathlib import Path

PARAMS = Path("params.json")
RATE, ROUNDS = 0.5, 50


def probability(weights, bias, row):
    return 1 / (1 + math.exp(-bias - sum(weight * value for weight, value in zip(weights, row, strict=True))))


def cape_handler(input_bytes):
    batch = json.loads(input_bytes)
    rows, classes = batch["rows"], batch["Class"]
    known = json.loads(PARAMS.read_text())
    weights, bias = known["weights"] or [0.0] * len(rows[0]), known["bias"]
    for _ in range(ROUNDS):
        errors = [probability(weights, bias, row) - expected for row, expected in zip(rows, classes, strict=True)]
        for column in range(len(weights)):
            weights[column] -= RATE * sum(e * row[column] for e, row in zip(errors, rows, strict=True)) / len(rows)
        bias -= RATE * sum(errors) / len(rows)
    PARAMS.write_text(json.dumps({"weights": weights, "bias": bias}))
    right = sum(
        (probability(weights, bias, row) > 0.5) == bool(expected) for row, expected in zip(rows, classes, strict=True)
    )
    return {"accuracy": right / len(rows), "weights": weights, "bias": bias}
