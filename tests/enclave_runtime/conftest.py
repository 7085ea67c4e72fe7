"""What confines the functions of these tests: all that this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclave_runtime.confinement.layers import SOCKETS_ABI
from enclave_runtime.confinement.warden import Warden

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def warden() -> Iterator[Warden]:
    """One for all tests: finding the layers out takes a while."""
    # Tests hold functions up by a socket beside their code, which a newer Landlock would refuse.
    found = Warden.appoint(total_bytes=8 << 30, landlock_abi=SOCKETS_ABI - 1)
    yield found
    found.close()
