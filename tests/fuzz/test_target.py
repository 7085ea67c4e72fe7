"""What is demanded of every input is noticed if it is not so."""

from __future__ import annotations

import time

import pytest

from fuzz.target import BoundExceededError, Target, check, check_memory


def target(run) -> Target:
    return Target(run, (ValueError,), dict)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.target.MAX_PROCESSOR_SECONDS", 0.05)


def busy(_: bytes) -> None:
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass


def refuse(_: bytes) -> None:
    raise ValueError


def test_taken_and_refused() -> None:
    assert check(target(lambda _: None), b"")
    assert not check(target(refuse), b"")


def test_another_error_escapes() -> None:
    with pytest.raises(ZeroDivisionError):
        check(target(lambda _: 1 // 0), b"")


def test_too_much_time_is_a_finding_even_of_what_is_refused() -> None:
    def both(data: bytes) -> None:
        busy(data)
        refuse(data)

    with pytest.raises(BoundExceededError, match="processor time"):
        check(target(both), b"")


def test_too_much_memory_is_a_finding() -> None:
    with pytest.raises(BoundExceededError, match="memory at the peak"):
        check_memory(target(lambda _: bytes(1 << 20)), b"x")
    check_memory(target(lambda _: bytes(1 << 20)), bytes(1 << 20))
