"""The measured file: strict, because what it pins is what a policy of callers covers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import KmsError
from enclave_runtime.kms.settings import KmsSettings
from tests.support.kms import KEY

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {
    "format": "blindsight-kms/1",
    "key": KEY,
    "region": "eu-central-1",
    "endpoint": "kms.eu-central-1.amazonaws.com",
    "encryption_context": {"blindsight:deployment": "mine"},
}


def load(folder: Path, content: Any) -> KmsSettings:
    path = folder / "kms.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return KmsSettings.load(path)


def test_what_it_says(tmp_path: Path):
    settings = load(tmp_path, GOOD | {"bundle_sha256": "ab" * 32})
    assert (settings.key, settings.endpoint) == (KEY, "kms.eu-central-1.amazonaws.com")
    assert (settings.connect, settings.credentials) == ("vsock://3:8000", "vsock://3:8002")
    assert settings.bundle_sha256 == b"\xab" * 32
    assert settings.context_for("bundle-key") == {
        "blindsight:deployment": "mine",
        "blindsight:purpose": "bundle-key",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"\xef\xbb\xbf{}",
        json.dumps(GOOD).encode().replace(b'"region"', b'"region": "x", "region"'),
        b" " * 70_000,
        GOOD | {"format": "blindsight-kms/2"},
        GOOD | {"more": 1},
        {name: value for name, value in GOOD.items() if name != "endpoint"},
        GOOD | {"key": KEY.replace("key/1234", "alias/1234")},
        GOOD | {"key": KEY + "\n"},
        GOOD | {"key": "1234abcd-12ab-34cd-56ef-1234567890ab"},
        GOOD | {"region": "us-east-1"},
        GOOD | {"endpoint": "kms.eu-central-1.amazonaws.com:443"},
        GOOD | {"endpoint": "https://kms.eu-central-1.amazonaws.com"},
        GOOD | {"endpoint": "kms.eu-central-1.amazonaws.com\r\nX: y"},
        GOOD | {"endpoint": ""},
        GOOD | {"encryption_context": []},
        GOOD | {"encryption_context": {"a": 1}},
        GOOD | {"encryption_context": {"a": ""}},
        GOOD | {"encryption_context": {"blindsight:purpose": "root-secret"}},
        GOOD | {"bundle_sha256": "AB" * 32},
        GOOD | {"bundle_sha256": "ab" * 31},
        GOOD | {"bundle_sha256": None},
        GOOD | {"trusted_roots": "nothing"},
        GOOD | {"connect": 8000},
        GOOD | {"connect": "vsock://3"},
        GOOD | {"credentials": "169.254.169.254:80"},
    ],
)
def test_anything_else_is_refused(tmp_path: Path, wrong: Any):
    with pytest.raises(KmsError) as error:
        load(tmp_path, wrong)
    assert error.value.code == "invalid_kms_settings"


def test_no_file(tmp_path: Path):
    with pytest.raises(KmsError, match="cannot be read"):
        KmsSettings.load(tmp_path / "none")
