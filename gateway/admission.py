"""Bounded admission: a request gets a place at once, or a 503 at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from blindsight.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.metrics import Metrics


class Places:
    """Places for requests of one kind."""

    def __init__(self, places: int, metrics: Metrics) -> None:
        self._places = places
        self._taken = 0
        self._metrics = metrics

    @property
    def full(self) -> bool:
        return self._taken >= self._places

    def refusal(self) -> Problem:
        """The problem, and the metric's reason, if no place is free."""
        self._metrics.rejected.labels("overloaded").inc()
        return Problem("overloaded", f"All {self._places} places are taken.")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for the block. Raises `Problem` (`overloaded`)."""
        if self.full:
            raise self.refusal()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Admission(Places):
    """Places for requests with an image. A request gets its place before its body is read, so memory is bounded,
    too.
    """

    def __init__(self, places: int, metrics: Metrics) -> None:
        super().__init__(places, metrics)
        self.draining = False

    def check(self) -> None:
        """Raise `Problem` (`draining`) once the gateway is shutting down."""
        if self.draining:
            raise Problem("draining", "This gateway is shutting down; another one, or this one later, will answer.")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for the block. Raises `Problem` (`overloaded`, `draining`)."""
        self.check()
        with super().place():
            self._metrics.in_progress.inc()
            try:
                yield
            finally:
                self._metrics.in_progress.dec()
