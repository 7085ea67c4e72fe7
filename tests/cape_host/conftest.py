"""One hostile host for the attacks of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cape_guest import Guest, hands_of, trust_of
from tests.support.hostile import CANARY, GREEDY, OTHER, PRIVATE, World, found, on_disk
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.models import TinyModel


@pytest.fixture(scope="module")
def world(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_stack(colour_model.folder, tmp_path_factory.mktemp("hostile"), workers=1, cape=True) as stack:
        ada, bob = (Guest.sign_up(name, stack.gateway.url, trust_of(stack)) for name in ("ada", "bob"))
        functions = {
            "private": ada.deploy("private", PRIVATE),
            "other": ada.deploy("other", OTHER),
            "bobs": bob.deploy("bobs", GREEDY),
            "bobs public": bob.deploy("public", GREEDY, public=True),
        }
        world = World(stack, ada, bob, functions, ada.encrypt(CANARY), hands_of(stack))
        yield world


@pytest.fixture
def nothing_seen(world: World) -> Iterator[None]:
    """Neither plaintext nor code is in anything that the host has got, kept or logged."""
    yield
    assert not found(bytes(world.hands.seen) + "\n".join(world.heard).encode() + on_disk(world))
