"""The limiter that settings ask for, and files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.metrics import Metrics
from gateway.ratelimits import assembly
from gateway.settings import Settings


@pytest.mark.parametrize(
    ("content", "reason"), [(b"\xff\xfeSECRET", "it is not text"), (b"", "it is empty"), (b" \n", "it is empty")]
)
def test_a_file_without_a_password_of_redis(tmp_path: Path, content: bytes, reason: str) -> None:
    """An empty password would be sent to no Redis, and its limits would be this gateway's own."""
    file = tmp_path / "password"
    file.write_bytes(content)
    settings = Settings(policy=Path("p"), quota="5/day", redis="redis://127.0.0.1:1", redis_password_file=file)
    with pytest.raises(OSError, match=reason) as refused:
        assembly.limiter(settings, Metrics(), None)
    assert (refused.value.filename, refused.value.strerror) == (str(file), reason)
