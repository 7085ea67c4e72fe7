"""What the service answers instead of a result."""

from __future__ import annotations


class Refused(Exception):
    """An exception of the service: `name` as in the API reference, with its HTTP status."""

    def __init__(self, name: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.name, self.status = name, status
