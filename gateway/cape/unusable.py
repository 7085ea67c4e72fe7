"""The error of a store that cannot be used, in a module that does not import SQLAlchemy."""

from __future__ import annotations


class StoreUnusable(Exception):
    """The store cannot be opened or upgraded; the message states the reason without the URL, which may contain a
    password.
    """
