"""The error answers of the service."""

from __future__ import annotations


class Refused(Exception):
    """A refusal by the service. `name` is the exception's in the API reference of AWS KMS, `status` its HTTP status."""

    def __init__(self, name: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.name, self.status = name, status
