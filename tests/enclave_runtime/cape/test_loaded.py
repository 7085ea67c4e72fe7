"""Functions at hand: those in use stay, the others go when there is no room, the longest unused first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.cape.functions import LoadedFunction
from enclave_runtime.cape.loaded import LoadedFunctions
from enclave_runtime.cape.quota import Quota
from tests.support.refusals import refused

if TYPE_CHECKING:
    from pathlib import Path

ADA, BOB = b"ada", b"bob"


class Bench:
    """Loaded functions with room for 100 bytes, 60 of one account; `dropped` is whose reserve was ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dropped: list[Path] = []
        self.existed = True
        """Whether each one's files were there still: its processes need them."""
        self.quota = Quota("bytes", total=100, each=60)
        self.loaded = LoadedFunctions(self.quota, self.drop)

    async def drop(self, code: Path) -> None:
        self.dropped.append(code)
        self.existed = self.existed and await asyncio.to_thread(code.exists)

    async def add(self, name: str, size: int, account: bytes = ADA) -> LoadedFunction:
        """Load a function, in use."""
        place = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        (place / "code").mkdir(parents=True)
        function = LoadedFunction(place / "code", b"", size, 0, place)
        with self.quota.share(account) as share:
            try:
                await self.loaded.take(share, size)
            except BaseException:
                function.remove()
                raise
            return await self.loaded.add(name, function, share)

    def names(self) -> list[str]:
        return sorted(place.name.partition("-")[0] for place in self.folder.iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_one_in_use_is_found_again_and_stays(bench: Bench) -> None:
    function = await bench.add("a", 60)
    assert bench.loaded.acquire("b") is None
    assert bench.loaded.acquire("a") is function
    bench.loaded.release(function)
    with refused("overloaded"):
        await bench.add("b", 50, BOB)
    assert bench.names() == ["a"]
    bench.loaded.release(function)
    await bench.add("b", 50, BOB)
    assert (bench.names(), bench.quota.taken, len(bench.dropped)) == (["b"], 50, 1)
    assert bench.loaded.acquire("a") is None


async def test_the_longest_unused_goes_first_and_no_more_than_needed(bench: Bench) -> None:
    a, b, c = [await bench.add(name, 30, owner) for name, owner in (("a", ADA), ("b", BOB), ("c", BOB))]
    for function in (b, a, c):
        bench.loaded.release(function)
    assert bench.loaded.acquire("a") is a
    bench.loaded.release(a)
    await bench.add("d", 30, b"carol")
    assert bench.names() == ["a", "c", "d"]


async def test_an_account_makes_room_in_its_own_part_by_its_own(bench: Bench) -> None:
    for name, owner in (("b", BOB), ("a", ADA)):
        bench.loaded.release(await bench.add(name, 40, owner))
    await bench.add("c", 40, ADA)
    assert bench.names() == ["b", "c"]
    with refused("overloaded"):
        await bench.add("d", 30, ADA)
    assert bench.names() == ["b", "c"]


async def test_what_is_too_large_for_any_account_is_refused_without_a_loss(bench: Bench) -> None:
    bench.loaded.release(await bench.add("a", 40, BOB))
    with refused("overloaded"):
        await bench.add("b", 61)
    assert (bench.names(), bench.quota.taken) == (["a"], 40)


async def test_of_two_that_were_loaded_at_once_one_stays(bench: Bench) -> None:
    first = await bench.add("a", 20)
    assert await bench.add("a", 20) is first
    assert (first.users, bench.names(), bench.quota.taken) == (2, ["a"], 20)


async def test_closing_removes_all(bench: Bench) -> None:
    for name in "ab":
        await bench.add(name, 20)
    await bench.loaded.close()
    assert (bench.names(), bench.quota.taken, len(bench.dropped)) == ([], 0, 2)
    assert bench.existed
    assert bench.loaded.acquire("a") is None


@pytest.mark.parametrize("count", [1, 30])
def test_a_share_gives_back_what_it_took(count: int) -> None:
    quota = Quota("things", total=50, each=30)
    with quota.share(ADA) as share:
        share.take(count)
        assert quota.taken == count
    assert quota.taken == 0
    with quota.share(ADA) as share:
        share.take(count)
        share.hand_on(count)
    assert quota.taken == count
    quota.give_back(ADA, count)
    assert quota.taken == 0


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        ({ADA: 30}, "the account has too many things"),
        ({BOB: 30, b"carol": 20}, "the enclave has no room for more things"),
    ],
    ids=["each", "total"],
)
def test_more_is_refused_in_words(taken: dict[bytes, int], words: str) -> None:
    quota = Quota("things", total=50, each=30)
    for account, count in taken.items():
        quota.take(account, count)
    with pytest.raises(Exception, match=words), quota.share(ADA) as share:
        share.take(1)
    assert quota.taken == sum(taken.values())
