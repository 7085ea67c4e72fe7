"""The evil gateway before a real stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evil_gateway import demo
from evil_gateway.app import EvilGateway
from tests.browser.conftest import browser, page, photo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

__all__ = ["browser", "page", "photo"]


@pytest.fixture(scope="module")
def evil(tiny_stack: Stack) -> EvilGateway:
    return EvilGateway(tiny_stack.gateway.url, tiny_stack.state)


@pytest.fixture(scope="module")
def evil_url(evil: EvilGateway) -> Iterator[str]:
    with demo.serving(evil) as url:
        yield url
