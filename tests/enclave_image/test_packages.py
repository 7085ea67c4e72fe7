"""Packages and wheels are believed by their digests, wherever they come from."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from enclave_image import deb, packages, trusted_set, wheels
from enclave_image.errors import ImageError
from tests.support import tiny_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the base class's name
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "mirror"
    (folder / "debian/pool").mkdir(parents=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(packages, "_MIRRORS", (f"http://127.0.0.1:{server.server_port}/{{archive}}/{{path}}",))
    monkeypatch.setattr(shutil, "which", lambda name: None)  # No apt: it would ask the network.
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_package_is_fetched_once(tmp_path: Path, mirror: Path) -> None:
    package, file = tiny_image.package("zlib1g", tiny_image.deb(mirror / "debian/pool/z.deb", {"lib/x": b"1"}))
    kept = packages.fetch(package, tmp_path / "cache")
    assert kept.read_bytes() == file.read_bytes()
    file.unlink()
    assert packages.fetch(package, tmp_path / "cache") == kept


def test_another_package_under_its_name_is_refused(tmp_path: Path, mirror: Path) -> None:
    package, file = tiny_image.package("zlib1g", tiny_image.deb(mirror / "debian/pool/z.deb", {"lib/x": b"1"}))
    tiny_image.deb(file, {"lib/x": b"2"})
    with pytest.raises(ImageError, match=r"zlib1g 1\.0 with the locked SHA-256 cannot be had"):
        packages.fetch(package, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.deb"))


def test_a_changed_file_in_the_cache_is_not_believed(tmp_path: Path, mirror: Path) -> None:
    package, _ = tiny_image.package("zlib1g", tiny_image.deb(mirror / "debian/pool/z.deb", {"lib/x": b"1"}))
    kept = packages.fetch(package, tmp_path / "cache")
    kept.write_bytes(b"changed")
    assert packages.digest(packages.fetch(package, tmp_path / "cache")) == package.sha256


def test_the_lock_and_the_trusted_set_name_the_same() -> None:
    assert {package.name for package in packages.read_lock()} == set(trusted_set.PACKAGES)


def test_every_locked_distribution_is_in_the_image_or_left_out_for_a_reason() -> None:
    assert set(wheels.locked()) == set(trusted_set.WHEELS) | set(trusted_set.NOT_IMPORTED)
    assert all(digests for digests in wheels.locked().values())


@pytest.mark.parametrize(
    "line", ["zlib1g 1.0", f"zlib1g 1.0 {'0' * 63} debian day path", f"a 1 {'0' * 64} d d p\n" * 2]
)
def test_a_damaged_lock_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "lock").write_text(line)
    with pytest.raises(ImageError, match="lock"):
        packages.read_lock(tmp_path / "lock")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"!<arch>\n",
        b"!<arch>\n" + b"x" * 70,
        tiny_image.ar({"data.tar.gz": b"no gzip"}),
        tiny_image.ar({"data.tar": b"x" * 600}),
    ],
)
def test_what_is_no_package_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.deb").write_bytes(content)
    with pytest.raises(ImageError, match="not a Debian package"):
        list(deb.members(tmp_path / "x.deb"))


def test_a_wheel_with_another_digest_is_refused(tmp_path: Path) -> None:
    wheel = tiny_image.wheel(tmp_path, "cbor2", {"cbor2/__init__.py": b""})
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"cbor2==1.0 \\\n    --hash=sha256:{wheel.sha256}\n")
    key = wheels.hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    kept = tmp_path / "cache" / f"wheels-{key}"
    kept.mkdir(parents=True)
    shutil.copy(wheel.file, kept)
    assert [each.distribution for each in wheels.fetch(tmp_path / "cache", requirements)] == ["cbor2"]
    (kept / wheel.file.name).write_bytes(b"another")
    with pytest.raises(ImageError, match="another SHA-256"):
        wheels.fetch(tmp_path / "cache", requirements)


def test_what_is_fetched_is_told(tmp_path: Path, mirror: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first build fetches for minutes; a later one has nothing to say."""
    package, _ = tiny_image.package("zlib1g", tiny_image.deb(mirror / "debian/pool/z.deb", {"lib/x": b"1"}))
    packages.fetch(package, tmp_path / "cache")
    assert capsys.readouterr() == ("", "fetching the package zlib1g 1.0\n")
    packages.fetch(package, tmp_path / "cache")
    assert capsys.readouterr() == ("", "")


def test_each_wheel_that_is_fetched_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    requirements = tmp_path / "requirements.txt"
    made = [
        tiny_image.wheel(
            tmp_path, name, {f"{name}-1.0.dist-info/{file}": content.encode() for file, content in {
                "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
                "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                "RECORD": "",
            }.items()},
        )
        for name in ("cbor2", "numpy")
    ]  # fmt: skip
    requirements.write_text(
        "".join(f"{each.distribution}=={each.version} --hash=sha256:{each.sha256}\n" for each in made)
    )
    for told in (["fetching the wheel cbor2", "fetching the wheel numpy"], []):
        assert len(wheels.fetch(tmp_path / "cache", requirements)) == 2
        lines = capsys.readouterr().err.splitlines()
        assert [line.partition("-1.0")[0] for line in lines] == told
