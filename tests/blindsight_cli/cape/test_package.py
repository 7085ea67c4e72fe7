"""The archive that is deployed."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from blindsight_cli.cape import package as packages
from blindsight_cli.cape.console import CliError
from blindsight_cli.cape.package import package


def content(path: Path | str) -> bytes:
    with package(str(path)) as archive:
        found = archive.file.read()
        assert (len(found), hashlib.sha256(found).digest()) == (archive.size, archive.checksum)
        return found


def names(path: Path | str) -> list[str]:
    with package(str(path)) as archive, zipfile.ZipFile(archive.file) as opened:
        return opened.namelist()


def test_entries_have_the_folders_name_and_order(echo: Path) -> None:
    (echo / "lib.py").write_text("")
    (echo / "Z.txt").write_text("z")
    (echo / "empty").mkdir()
    assert names(echo) == ["echo/Z.txt", "echo/app.py", "echo/lib/x.py", "echo/lib.py"]
    with package(str(echo)) as archive, zipfile.ZipFile(archive.file) as opened:
        assert opened.read("echo/app.py") == (echo / "app.py").read_bytes()
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_DEFLATED}


def test_the_same_content_is_the_same_archive(echo: Path, tmp_path: Path) -> None:
    first = content(echo)
    os.utime(echo / "app.py", (0, 0))
    (echo / "app.py").chmod(0o700)
    assert content(echo) == first
    (echo / "app.py").write_text("changed")
    assert content(echo) != first


def test_a_dot_is_the_folder_one_stands_in(echo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(echo)
    assert names(".") == names(echo)
    with package(".") as archive:
        assert archive.name == "echo"


def test_the_name_ends_at_the_first_dot(echo: Path, tmp_path: Path) -> None:
    renamed = echo.rename(tmp_path / "echo.v1.2")
    with package(str(renamed)) as archive:
        assert archive.name == "echo"
    assert names(renamed)[0] == "echo.v1.2/app.py"


def test_a_zip_is_sent_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "fn.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("app.py", "x" * 1000)
    assert content(file) == file.read_bytes()
    with package(str(file)) as found:
        assert found.name == "fn"


def test_a_link_to_a_file_is_its_content(echo: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text("shared")
    (echo / "link.py").symlink_to(tmp_path / "shared.py")
    with package(str(echo)) as archive, zipfile.ZipFile(archive.file) as opened:
        assert opened.read("echo/link.py") == b"shared"


def refused(path: Path | str) -> str:
    with pytest.raises(CliError) as caught:
        content(path)
    return str(caught.value)


def test_a_link_to_a_folder_and_a_pipe_are_refused(echo: Path, tmp_path: Path) -> None:
    (echo / "parent").symlink_to(tmp_path)
    assert refused(echo).endswith("is a link to a directory")
    (echo / "parent").unlink()
    os.mkfifo(echo / "pipe")
    assert refused(echo).endswith("pipe: is not a file")


def test_what_is_no_function(tmp_path: Path) -> None:
    missing, empty, text, fake = (tmp_path / name for name in ("none", "empty", "a.txt", "fake.zip"))
    empty.mkdir()
    text.write_text("x")
    fake.write_text("no archive")
    what = "unable to read function directory or file: "
    assert refused(missing) == f"{what}open {missing}: no such file or directory"
    assert refused(empty) == "please pass in a non-empty directory: EOF"
    assert refused(text) == f"expected argument {text} to be a zip file or directory"
    assert refused(fake) == f"expected argument {fake} to be a zip file or directory"
    (empty / "broken").symlink_to("nowhere")
    assert refused(empty) == f"{what}open {empty / 'broken'}: no such file or directory"


def test_the_limit_is_on_what_is_unpacked(echo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(file.stat().st_size for file in echo.rglob("*.py"))
    monkeypatch.setattr(packages, "MAX_FUNCTION_BYTES", size)
    content(echo)
    monkeypatch.setattr(packages, "MAX_FUNCTION_BYTES", size - 1)
    assert refused(echo) == f"deployment ({size} bytes) exceeds size limit of {size - 1} bytes"
    with zipfile.ZipFile(tmp_path / "fn.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app.py", "x" * 5000)
    monkeypatch.setattr(packages, "MAX_FUNCTION_BYTES", 4999)
    assert refused(tmp_path / "fn.zip") == "deployment (5000 bytes) exceeds size limit of 4999 bytes"


def test_a_name_that_is_not_utf8_is_refused(echo: Path) -> None:
    Path(os.fsdecode(bytes(echo) + b"/\xff.py")).write_text("x")
    assert refused(echo).endswith("is not UTF-8")
