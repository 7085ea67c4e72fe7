"""Gateways with other settings before the shared enclave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

STRICT = {
    "max_image_bytes": 100_000,
    "max_batch_images": 4,
    "max_batch_bytes": 300_000,
    "max_in_flight": 1,
    "body_timeout": 1,
    "deadline": 2,
}


@pytest.fixture(scope="session")
def strict_gateway(tiny_stack: Stack) -> Iterator[Gateway]:
    """A gateway with one place, small limits and short times."""
    with tiny_stack.another_gateway(**STRICT) as gateway:
        yield gateway
