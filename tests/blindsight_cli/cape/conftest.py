"""A fake Cape host, and `cape` as a user of it calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from blindsight_cli.cape.main import main
from tests.support.fake_cape_host import FakeCapeHost, running_cape_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What one call did; `warned` is whether it said that the evidence is simulated, which `err` leaves out."""

    status: int
    out: str
    err: str
    warned: bool = False


WARNING = "WARNING: SIMULATED evidence: it proves nothing about the host\n"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeCapeHost]:
    with running_cape_host(tmp_path / "host") as host:
        yield host


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home, with no settings in it or in the environment."""
    import os

    for name in list(os.environ):
        if name.startswith(("CAPE_", "LOCAL_", "BLINDSIGHT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USER", "ada")
    return folder


@pytest.fixture
def offline(home: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Outcome]:
    """`cape` without a host."""

    def call(*argv: str) -> Outcome:
        capfdbinary.readouterr()
        status = main(argv)
        out, err = (text.decode(errors="surrogateescape") for text in capfdbinary.readouterr())
        return Outcome(status, out, err.replace(WARNING, ""), WARNING in err)

    return call


@pytest.fixture
def cape(
    offline: Callable[..., Outcome], host: FakeCapeHost, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """`cape` with the fake host, whose root it trusts."""
    monkeypatch.setenv("CAPE_ENCLAVE_HOST", host.url)
    monkeypatch.setenv("CAPE_ATTESTATION_ROOT", str(host.root))
    return offline


@pytest.fixture
def ada(cape: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """`cape` of a user who has signed up."""
    assert cape("signup", "ada").status == 0
    return cape


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    folder = tmp_path / "echo"
    (folder / "lib").mkdir(parents=True)
    (folder / "app.py").write_text("def cape_handler(x):\n    return x\n")
    (folder / "lib" / "x.py").write_text("X = 1\n")
    return folder
