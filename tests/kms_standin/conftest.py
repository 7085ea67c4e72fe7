"""One stand-in for the tests of a file, and one key pair for their enclaves: a pair takes half a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from enclave_runtime.kms import client as clients
from tests.support.kms import StandIn, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in(tmp_path_factory.mktemp("standin")) as running:
        yield running


@pytest.fixture(scope="session")
def enclave_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 3072)


@pytest.fixture
def kms(shared: StandIn, enclave_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(clients, "_make_key", lambda: enclave_key)
    yield shared
    shared.clock.moved *= 0
