"""Scores, ranks and names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from photo_classifier.answer import by_class, rank, softmax


@given(st_numpy.arrays(np.float32, (2, 7), elements=st.floats(-(2.0**99), 2.0**99, width=32)))
def test_scores_are_a_distribution_however_large_the_logits(logits):
    scores = softmax(logits)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert np.allclose(scores.sum(axis=1), 1)


def test_softmax_of_known_logits():
    assert softmax(np.array([[0, np.log(3)]], dtype=np.float32)) == pytest.approx(np.array([[0.25, 0.75]]), abs=1e-7)


def test_equal_scores_rank_by_class_id():
    ranked = rank(np.array([1, 3, 2, 3, 3], dtype=np.float32), list("abcde"), 4)
    assert [prediction["class_id"] for prediction in ranked] == [1, 3, 4, 2]
    assert [prediction["rank"] for prediction in ranked] == [1, 2, 3, 4]


def prediction(class_id: int, label: str, score: float) -> dict:
    return {"rank": 1, "class_id": class_id, "label": label, "score": score}


def test_a_repeated_name_keeps_both_scores():
    scores = by_class([prediction(517, "crane", 0.6), prediction(134, "crane", 0.3), prediction(1, "goldfish", 0.1)])
    assert list(scores.items()) == [("crane", 0.6), ("crane (134)", 0.3), ("goldfish", 0.1)]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "a (1)", "a (1) (2)", "b"])), max_size=12))
def test_no_score_is_ever_lost(pairs):
    scores = by_class([prediction(class_id, label, float(place)) for place, (class_id, label) in enumerate(pairs)])
    assert list(scores.values()) == [float(place) for place in range(len(pairs))]
