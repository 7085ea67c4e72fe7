"""What is wrong with a store that cannot be used. Apart from the database, which needs SQLAlchemy."""

from __future__ import annotations


class StoreUnusable(Exception):
    """The store cannot be opened or upgraded; the message says why, without the URL, which may hold a password."""
