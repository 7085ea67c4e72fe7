"""The sealed lane's key."""

from __future__ import annotations

import pytest

from blindsight.errors import SealingError
from blindsight.sealing import keyconfig, ohttp
from enclave_runtime.keys import LaneKeys


def test_what_is_sealed_to_the_published_configuration_opens():
    keys = LaneKeys()
    (config,) = keyconfig.decode_list(keys.encoded_configs)
    assert config.public_key == keys.public_key
    assert config.suites == keyconfig.OFFERED
    for suite in config.suites:
        sealed, opener = ohttp.encapsulate(config, b"question", suite=suite)
        opened, sealer = keys.open(sealed)
        assert opened == b"question"
        assert opener.open(sealer.seal(b"answer")) == b"answer"


def test_every_start_has_a_key_of_its_own():
    first, second = LaneKeys(), LaneKeys()
    assert first.public_key != second.public_key
    (config,) = keyconfig.decode_list(first.encoded_configs)
    sealed, _ = ohttp.encapsulate(config, b"question")
    with pytest.raises(SealingError) as refused:
        second.open(sealed)
    assert refused.value.code in {"unknown_key", "cannot_open"}


def test_key_ids_differ_between_starts():
    """So that a stale key is mostly told from a damaged message."""
    assert len({LaneKeys().encoded_configs[2] for _ in range(64)}) > 16


def test_neither_form_of_the_keys_shows_the_private_one():
    keys = LaneKeys()
    raw = keys._key.private_key.private_bytes_raw()
    assert raw not in keys.encoded_configs
    assert raw.hex() not in repr(keys) + repr(vars(keys)) + str(vars(keys))
