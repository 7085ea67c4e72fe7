"""Square brackets and colons in what others wrote, or named, are shown: they are no markup of ours, and no emoji."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

import pytest
import typer
from rich.console import Console
from rich.text import Text

import blindsight_cli
from blindsight_cli import doctor, localca
from blindsight_cli.main import app
from tests.support.command import blindsight
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "a[final] [bold]b[/red] [link=x] :dog:"
"""What rich takes for styles, for the end of one, and for an emoji."""


def folder_of(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    return folder


def test_the_doctor_shows_paths_and_advice_whole(tmp_path: Path) -> None:
    state = folder_of(tmp_path, NAME)
    state.chmod(0o755)
    url = f"http://127.0.0.1:{free_port()}"
    done = blindsight(tmp_path, "doctor", "--state", NAME, "--url", url)
    assert "Traceback" not in done.stderr
    assert f"{NAME}, mode 755" in done.stdout
    assert f"chmod 700 {NAME}" in done.stdout


def test_an_extra_in_the_doctors_advice_keeps_its_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    advice = "pip install '.[heic]'"
    doctor.show([doctor.Finding("[bold]name", good=False, seen="[/]", next_step=advice)])
    shown = capsys.readouterr().out
    assert advice in shown
    assert "[bold]name" in shown
    assert "[/]" in shown


def test_local_trust_names_the_folder_of_its_state(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from enclave_runtime.evidence.simulated_pki import load_or_create_root

    state = folder_of(tmp_path, NAME)
    load_or_create_root(state / "enclave", datetime.now(UTC))
    localca.ensure(state / "tls", ["localhost"])
    done = blindsight(tmp_path, "with-local-trust", "--state", NAME, "echo", "ran")
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    assert NAME in done.stderr


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str]:
    """The exit status of a command, run in this process, and its errors."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments))
    return ended.value.code, capsys.readouterr().err


def test_files_that_cannot_be_read_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    missing = f"{NAME}.jpg"
    for command in (
        ["classify", "--url", "http://127.0.0.1:1", missing],
        ["receipt", "verify", missing],
        ["attest", "diff", missing, missing],
        ["eif", "describe", missing],
        ["release", "verify", missing],
    ):
        status, shown = said(capsys, *command)
        assert (status, missing in shown) == (1, True), (command, shown)


def test_a_wrong_word_on_the_command_line_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    for command in ([NAME], ["doctor", NAME], ["up", "--variant", NAME]):
        status, shown = said(capsys, *command)
        assert (status, NAME in shown) == (2, True), (command, shown)


@pytest.mark.parametrize("command", [["check"], ["build", "--out", "model", "--onnx"]])
def test_the_unit_of_models_names_them_whole(tmp_path: Path, command: list[str]) -> None:
    done = blindsight(tmp_path, "model", *command, NAME)
    assert done.returncode == 1
    assert NAME in done.stderr
    assert "Traceback" not in done.stderr


def helps(group: typer.Typer, path: str) -> Iterator[tuple[str, str]]:
    """Each help text of a group, with where it is."""
    command = typer.main.get_command(group)
    todo = [(path, command)]
    while todo:
        name, each = todo.pop()
        yield name, each.help or ""
        yield from ((f"{name} {parameter.name}", getattr(parameter, "help", "") or "") for parameter in each.params)
        todo += [(f"{name} {sub}", below) for sub, below in getattr(each, "commands", {}).items()]


def test_help_texts_have_nothing_that_is_taken_for_markup() -> None:
    found = dict(helps(app, "blindsight"))
    assert len(found) > 50
    for name, text in found.items():
        assert Text.from_markup(text).plain in {text, text.replace("\\[", "[")}, name


def test_no_console_of_the_commands_reads_markup() -> None:
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(blindsight_cli.__path__, "blindsight_cli.")
        if ".hook" not in found.name
    ]
    consoles = [value for module in modules for value in vars(module).values() if isinstance(value, Console)]
    assert consoles
    for console in consoles:
        assert console.render_str("[red]a[/] :dog:").plain == "[red]a[/] :dog:"
        assert console.render_str("a\x1b[2J\tb\nc").plain == "a\N{REPLACEMENT CHARACTER}[2J\tb\nc"
