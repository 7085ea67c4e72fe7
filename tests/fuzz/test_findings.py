"""Every seed and every input that was ever found to fail, and some hundred at random, through their harnesses.

The engine itself runs by `make fuzz`: docs/fuzzing.md.
"""

from __future__ import annotations

import pytest

from fuzz import plain, registry
from fuzz.target import check, check_memory

MUTATIONS = 200


def test_there_are_seeds_and_findings_of_known_harnesses_only() -> None:
    assert {path.name for path in registry.SEEDS.iterdir()} == set(registry.NAMES)
    assert {path.name for path in registry.FINDINGS.iterdir()} <= set(registry.NAMES)


@pytest.mark.parametrize("name", registry.NAMES)
def test_seeds_are_what_the_script_makes(name: str) -> None:
    """`python -m fuzz seeds` writes them."""
    kept = {path.name: path.read_bytes() for path in registry.files(registry.SEEDS, name)}
    assert kept == registry.load(name).seeds()


@pytest.mark.parametrize("name", registry.NAMES)
def test_seeds_findings_and_changes_at_random(name: str) -> None:
    target = registry.load(name)
    inputs = [
        path.read_bytes() for place in (registry.SEEDS, registry.FINDINGS) for path in registry.files(place, name)
    ]
    # One of them at least is taken: a harness that refuses everything looks at nothing.
    assert sum(check(target, data) for data in inputs)
    for data in inputs:
        check_memory(target, data)
    for data in plain.mutations(target, name, MUTATIONS):
        check(target, data)
