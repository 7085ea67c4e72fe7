"""The sealed lane's keys: two KEMs, a schedule, and a memory of what was opened."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from blindsight.errors import SealingError
from blindsight.sealing import keyconfig, ohttp
from enclave_runtime import keys as lane_keys
from enclave_runtime.keys import LaneKeys


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> LaneKeys:
    monkeypatch.setattr(lane_keys, "FIRST_SHARE", (1.0, 1.0))
    return LaneKeys(key_seconds=100, grace_seconds=10, clock=clock)


def sealed(keys: LaneKeys, kem: int = 0, content: bytes = b"question") -> bytes:
    return ohttp.encapsulate(keyconfig.decode_list(keys.encoded_configs)[kem], content)[0]


def refusal(keys: LaneKeys, message: bytes) -> str:
    with pytest.raises(SealingError) as refused:
        keys.open(message)
    return refused.value.code


def test_what_is_sealed_to_a_published_configuration_opens() -> None:
    keys = LaneKeys()
    configs = keyconfig.decode_list(keys.encoded_configs)
    assert [config.kem.identifier for config in configs] == [0x647A, 0x0020]
    assert configs[1].public_key == keys.public_key
    assert configs[0].key_id != configs[1].key_id
    for config in configs:
        assert len(config.suites) == 3
        for suite in config.suites:
            message, opener = ohttp.encapsulate(config, b"question", suite=suite)
            opened = keys.open(message)
            assert opened.request == b"question"
            assert not opened.replayed
            assert opener.open(opened.sealer.seal(b"answer")) == b"answer"


def test_of_copies_that_are_opened_at_once_one_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long messages are opened in threads: each has opened before any is remembered."""
    keys = LaneKeys()
    message, together = sealed(keys, content=bytes(100_000)), threading.Barrier(4)
    genuine = ohttp.decapsulate_into

    def opened_together(*arguments: Any) -> Any:
        opened = genuine(*arguments)
        together.wait(10)
        return opened

    monkeypatch.setattr(lane_keys.ohttp, "decapsulate_into", opened_together)
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(keys.open, [message] * 4))
    assert sorted(each.replayed for each in opened) == [False, True, True, True]


def test_every_start_has_keys_of_its_own() -> None:
    first, second = LaneKeys(), LaneKeys()
    assert first.public_key != second.public_key
    for kem in (0, 1):
        assert refusal(second, sealed(first, kem)) in {"unknown_key", "cannot_open"}


def test_key_ids_differ_between_starts() -> None:
    """So that a stale key is mostly told from a damaged message."""
    assert len({keyconfig.decode_list(LaneKeys().encoded_configs)[0].key_id for _ in range(64)}) > 16


def test_keys_are_replaced_on_schedule_and_erased_after_their_grace(keys: LaneKeys, clock: Clock) -> None:
    published, message, another = keys.encoded_configs, sealed(keys), sealed(keys)
    clock.now += 99
    assert keys.encoded_configs == published
    clock.now += 1
    assert keys.encoded_configs != published
    assert keys.open(message).request == b"question"
    clock.now += 9
    assert keys.open(message).replayed
    clock.now += 1
    assert refusal(keys, another) == "unknown_key"
    # What is erased is nowhere: not even an attacker who holds this process could open it.
    assert not keys._retired


def test_key_ids_of_retired_keys_are_not_given_anew(clock: Clock) -> None:
    keys = LaneKeys(key_seconds=1, grace_seconds=50, clock=clock)
    seen = []
    for _ in range(40):
        seen += [config.key_id for config in keyconfig.decode_list(keys.encoded_configs)]
        clock.now += 1
    assert len(set(seen)) == len(seen)


def test_more_generations_than_ids(clock: Clock) -> None:
    keys = LaneKeys(key_seconds=1, grace_seconds=10_000, clock=clock)
    for _ in range(300):
        assert keys.open(sealed(keys)).request == b"question"
        clock.now += 1


@pytest.mark.parametrize("kem", [0, 1])
def test_a_message_is_new_once(keys: LaneKeys, kem: int) -> None:
    first, second = sealed(keys, kem), sealed(keys, kem)
    assert [keys.open(message).replayed for message in (first, first, second, first)] == [False, True, False, True]


def test_a_damaged_copy_does_not_use_up_the_message(keys: LaneKeys) -> None:
    """Or an attacker between could have the true one refused by sending a copy first."""
    message = sealed(keys)
    assert refusal(keys, message[:-1] + bytes([message[-1] ^ 1])) == "cannot_open"
    assert not keys.open(message).replayed


def test_a_full_memory_brings_new_keys_instead_of_forgetting(keys: LaneKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_keys, "MAX_OPENED", 3)
    published = keys.encoded_configs
    messages = [sealed(keys) for _ in range(3)]
    for message in messages:
        keys.open(message)
    assert keys.encoded_configs != published
    assert all(keys.open(message).replayed for message in messages)


def test_no_form_of_the_keys_shows_a_private_one(keys: LaneKeys) -> None:
    opened = keys.open(sealed(keys, content=b"a photo"))
    shown = repr(keys) + repr(vars(keys)) + repr(vars(keys._current)) + repr(opened)
    assert "a photo" not in shown
    for key in keys._current.keys.values():
        private = getattr(key.private_key, "x25519", key.private_key).private_bytes_raw()
        assert private not in keys.encoded_configs
        assert private.hex() not in shown


def ids_of(keys: LaneKeys) -> frozenset[int]:
    return frozenset(config.key_id for config in keyconfig.decode_list(keys.encoded_configs))


def avoid(keys: LaneKeys, *key_ids: int) -> None:
    keys.avoid(frozenset(key_ids), of=keyconfig.digest(keys.encoded_configs))


def test_keys_with_an_id_of_another_enclave_are_replaced(keys: LaneKeys, clock: Clock) -> None:
    for which in (0, 1):
        message, another, before = sealed(keys, which), sealed(keys, which), ids_of(keys)
        avoid(keys, sorted(before)[which])
        assert ids_of(keys).isdisjoint(before)
        assert keys.open(message).request == b"question", "replaced as on schedule"
        clock.now += 10
        assert refusal(keys, another) == "unknown_key"


def test_keys_whose_ids_no_other_has_stay(keys: LaneKeys) -> None:
    published = keys.encoded_configs
    avoid(keys, *(set(range(256)) - ids_of(keys)))
    avoid(keys)
    assert keys.encoded_configs == published


def test_no_key_of_later_gets_an_id_of_another(keys: LaneKeys, clock: Clock) -> None:
    few = {7, 8, 9, 10} | ids_of(keys)
    avoid(keys, *(set(range(256)) - few))
    for _ in range(20):
        clock.now += 100
        assert ids_of(keys) <= few


def test_what_was_said_of_other_keys_replaces_none(keys: LaneKeys, clock: Clock) -> None:
    """A gateway that has not seen the newest keys may take their ids for another enclave's."""
    stale = keyconfig.digest(keys.encoded_configs)
    clock.now += 100
    published = keys.encoded_configs
    keys.avoid(ids_of(keys), of=stale)
    assert keys.encoded_configs == published


def test_a_gateway_cannot_use_up_the_keys(clock: Clock) -> None:
    """However often it asks: few pairs are replaced within a grace, and all decrypt for theirs."""
    keys = LaneKeys(clock=clock)
    messages = []
    for _ in range(2990):
        messages.append(sealed(keys, 1))
        avoid(keys, *ids_of(keys))
        clock.now += 0.1
    assert len(keys._retired) == lane_keys.MOST_AVOIDED
    for message in messages[::50]:
        assert keys.open(message).request == b"question"


def test_if_others_have_all_ids_keys_are_replaced_on_schedule_alone(keys: LaneKeys, clock: Clock) -> None:
    for taken in (range(256), range(255)):
        published = keys.encoded_configs
        for _ in range(9):
            avoid(keys, *taken)
            clock.now += 5
            assert keys.encoded_configs == published
        clock.now += 100
        assert keys.encoded_configs != published
        clock.now += 50


def test_what_several_gateways_say_counts(keys: LaneKeys, clock: Clock) -> None:
    """One that has just started does not know the replaced keys of others."""
    few = {7, 8, 9, 10} | ids_of(keys)
    others = sorted(set(range(256)) - few)
    for _ in range(20):
        for told in (others[::2], others[1::2], ()):
            avoid(keys, *told)
        clock.now += 100
        assert ids_of(keys) <= few
    for number in range(1000):
        avoid(keys, others[number % len(others)])
    assert len(keys._told) == 16


def test_lists_that_leave_too_few_ids_give_way_to_the_last_one(keys: LaneKeys, clock: Clock) -> None:
    ids = sorted(set(range(256)) - ids_of(keys))
    avoid(keys, *ids[:200])
    avoid(keys, *ids[100:])
    clock.now += 100
    assert ids_of(keys) <= set(ids[:100]) | (set(range(256)) - set(ids))


def test_enclaves_that_start_together_replace_their_keys_apart(clock: Clock) -> None:
    """Or all would draw ids at the same time, and have twice as many for the grace."""
    started = [LaneKeys(key_seconds=100, clock=clock) for _ in range(40)]
    first = [keys.encoded_configs for keys in started]
    clock.now += 49.9
    assert [keys.encoded_configs for keys in started] == first
    clock.now += 25
    replaced = sum(keys.encoded_configs != then for keys, then in zip(started, first, strict=True))
    assert 0 < replaced < len(started)
    clock.now += 25.1
    assert not set(first) & {keys.encoded_configs for keys in started}
