"""docs/eif.md: its commands run as they stand, but those of nitro-cli, which needs EC2; its numbers are the code's."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from blindsight.eif import layout, listing
from blindsight_cli.main import app
from tests.support import documented
from tests.support.eif_golden import BASE, cpio, image

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "eif.md").read_text("utf-8")
DIFFERENT = {"blindsight eif diff enclave.json newer.eif"}
"""Ends with status 1, as the page says: the images differ."""


def blocks(language: str) -> list[str]:
    return [block.text for block in documented.blocks(PAGE) if block.language == language and not block.is_marked]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("model.json", "{}")
    function = ("app/function.zip", 0o100644, bundle.getvalue())
    (tmp_path / "enclave.eif").write_bytes(image([*BASE, (3, cpio(function))]))
    (tmp_path / "newer.eif").write_bytes(image([*BASE, (3, cpio(function, ("new", 0o100644, b"")))]))
    return tmp_path


def run(line: str, folder: Path) -> None:
    if line.startswith("openssl "):
        if shutil.which("openssl"):
            subprocess.run(shlex.split(line), cwd=folder, check=True, capture_output=True)
            return
        pytest.skip("openssl is not installed")
    command, _, target = line.partition(" > ")
    name, *arguments = shlex.split(command.replace("checksum HEX", "checksum " + "ab" * 32).replace("HEX", "cd" * 32))
    assert name == "blindsight"
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, arguments)
        if target:
            Path(target).write_text(done.stdout, "utf-8")
    assert done.exit_code == (1 if line in DIFFERENT else 0), done.stderr


def test_every_command_runs(folder: Path) -> None:
    ran = 0
    for block in blocks("sh"):
        for line in block.splitlines():
            run(line, folder)
            ran += 1
    assert ran == 9
    assert (folder / "signed.eif").exists()
    assert (folder / "policy.json").exists()


def test_the_python_of_the_page_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("python")
    with contextlib.chdir(folder):
        exec(compile(block, "docs/eif.md", "exec"), {})
    assert re.fullmatch("[0-9a-f]{96}\n", capsys.readouterr().out)


def test_every_command_is_in_the_table() -> None:
    from blindsight_cli.eif import app as commands

    names = {command.name for command in commands.registered_commands}
    assert names == set(re.findall(r"^\| `(?!blindsight)(\w+)", PAGE.split("## What is measured")[0], re.MULTILINE))


def test_the_bounds_are_those_of_the_code() -> None:
    text = PAGE.replace("\n", " ")
    for words in (
        f"{listing.MAX_ENTRIES:,} entries".replace(",", " "),
        f"{listing.MAX_NAMES_BYTES >> 20} MiB of names",
        f"{listing.MAX_UNPACKED_BYTES >> 30} GiB unpacked",
        f"{listing.MAX_STREAMS} compressed streams",
        f"| {layout.MAX_CMDLINE_BYTES} bytes, which is what the kernel keeps",
        f"| {layout.MAX_SIGNATURE_BYTES} bytes |",
        f"a JSON object; {layout.MAX_METADATA_BYTES >> 20} MiB",
        f"| {layout.MIN_SECTIONS} to {layout.MAX_SECTIONS} |",
    ):
        assert words in text, words
