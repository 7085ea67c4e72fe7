"""An empty path is refused as such: `pathlib` takes it for the folder that one stands in."""

from __future__ import annotations

import argparse
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
from typer.testing import CliRunner

from blindsight_cli.main import app
from blindsight_cli.paths import a_path
from tests.support.command import blindsight
from tests.support.command_tree import UNITS
from tests.support.processes import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

SAID = "the path is empty"
DIGESTS = ("--function-checksum", "ab" * 32, "--model-sha256", "cd" * 32)
COMMANDS: dict[str, tuple[str, ...]] = {
    "a photo": ("classify", ""),
    "one of several": ("classify", "photo.png", ""),
    "a folder of receipts": ("classify", "--receipts", "", "photo.png"),
    "a policy": ("attest", "http://localhost:1", "--policy", ""),
    "a file to save": ("attest", "http://localhost:1", "--save="),
    "a document": ("attest", "diff", "", "new"),
    "a receipt": ("receipt", "verify", ""),
    "an image": ("eif", "describe", ""),
    "an image to sign": ("eif", "sign", "a.eif", "--key", "", "--certificate", "c", "--out", "b.eif"),
    "a release": ("release", "verify", ""),
    "an artifact": ("release", "verify", "release.json", "--bundle", ""),
    "measurements": ("kms", "policy", "--role", "r", "--admin", "a", "--measurements", ""),
    "a state": ("doctor", "--state", ""),
    "a stack": ("up", "--state", ""),
    "a model to serve": ("up", "--model", ""),
    "a stack to trust": ("with-local-trust", "--state", "", "true"),
    "a folder for TLS": ("tls", "--out", ""),
    "a report": ("hardware-report", "verify", ""),
}
PASSED_ON: dict[str, tuple[str, ...]] = {
    "a bundle": ("bundle", "inspect", ""),
    "a model": ("bundle", "build", "--model", "", "--out", "b.zip"),
    "a bundle to write": ("bundle", "encrypt", "b.zip", "--key", "k", "--out", ""),
    "a model directory": ("model", "check", ""),
    "an image to write": ("eif", "build", "--out", ""),
    "a folder for a release": ("release", "make", "--bundle", "b.zip", "--out", ""),
    "a root": ("demo", "evil-gateway", "--state", ""),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_refuse_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, list(command), env={"COLUMNS": "250"})
    assert (done.exit_code, SAID in done.stderr) == (2, True), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", PASSED_ON.values(), ids=PASSED_ON)
def test_units_refuse_one(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = blindsight(tmp_path, *command)
    assert (done.returncode, SAID in done.stderr) == (2, True), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]


@pytest.mark.parametrize("command", ["deploy", "test"])
def test_no_folder_is_deployed_by_an_empty_name(tmp_path: Path, command: str) -> None:
    """`cape deploy "$FOLDER"`, where that is not set, would send the folder that one stands in."""
    (tmp_path / "app.py").write_text("def cape_handler(content):\n    return content\n")
    words = [command, "", *(["x"] if command == "test" else []), "--url", "http://127.0.0.1:9", "-t", "token"]
    done = subprocess.run(
        [sys.executable, "-m", "blindsight_cli.cape.main", *words], cwd=tmp_path, env=environment(tmp_path),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, SAID in done.stderr) == (1, True), done.stderr


def parameters(group: typer.Typer) -> Iterator[tuple[str, Any]]:
    """Every parameter of a path, by name, with what typer is told of it."""
    for command in group.registered_commands:
        assert command.callback is not None
        hints = get_type_hints(command.callback, include_extras=True)
        for name in inspect.signature(command.callback).parameters:
            annotated = hints[name]
            if "pathlib.Path" in str(getattr(annotated, "__origin__", annotated)) or annotated is Path:
                yield f"{command.callback.__module__}.{command.callback.__name__}: {name}", annotated
    for each in group.registered_groups:
        assert each.typer_instance is not None
        yield from parameters(each.typer_instance)


def test_no_parameter_is_forgotten() -> None:
    found = dict(parameters(app))
    assert len(found) > 30
    assert [name for name, annotated in found.items() if annotated.__metadata__[0].parser is not a_path] == []


def test_no_option_of_a_unit_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    types: list[tuple[str, object]] = []
    add = argparse._ActionsContainer.add_argument

    def noted(self: Any, *names: str, **options: Any) -> Any:
        types.append((names[0], options.get("type")))
        return add(self, *names, **options)

    monkeypatch.setattr(argparse._ActionsContainer, "add_argument", noted)
    for unit, module in UNITS.items():
        if unit.partition(".")[0] in {"benchmarks", "campaigns", "model_build"}:
            continue
        monkeypatch.setattr(sys, "argv", [unit, "--help"])
        with pytest.raises(SystemExit):
            importlib.import_module(module).main()
    assert len(types) > 60
    assert [name for name, kind in types if kind is Path] == []
