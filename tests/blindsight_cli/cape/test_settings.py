"""Settings: what beats what, and the presets file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blindsight_cli.cape import settings
from blindsight_cli.cape.console import CliError

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = {"CAPE_ENCLAVE_HOST": "https://env.example/"}


def load(home: Path, environ: dict[str, str] | None = None, **flags: Any) -> settings.Settings:
    return settings.load(environ or {}, home, **flags)


def presets(home: Path, **options: str) -> Path:
    file = home / ".config" / "cape" / "presets.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(options))
    return file


def test_a_flag_beats_the_environment_beats_the_presets(tmp_path: Path) -> None:
    presets(tmp_path, enclave_host="https://presets.example", auth_host="https://presets-auth.example")
    assert load(tmp_path).enclave_host == "https://presets.example"
    assert load(tmp_path, HOST).enclave_host == "https://env.example"
    assert load(tmp_path, HOST).auth_host == "https://presets-auth.example"
    flagged = load(tmp_path, HOST, url="https://flag.example")
    assert (flagged.enclave_host, flagged.auth_host) == ("https://flag.example", "https://flag.example")


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    presets(tmp_path, enclave_host="https://presets.example")
    assert load(tmp_path, {"CAPE_ENCLAVE_HOST": ""}).enclave_host == "https://presets.example"


def test_one_host_serves_for_both(tmp_path: Path) -> None:
    assert load(tmp_path, HOST).auth_host == "https://env.example"


def test_there_is_no_default_host(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no host given: set CAPE_ENCLAVE_HOST or --url"):
        _ = load(tmp_path).enclave_host


@pytest.mark.parametrize(
    "argv",
    [["list"], ["run", "id", "x"], ["key"], ["encrypt", "x"], ["signup", "ada"], ["login"], ["token", "list"],
     ["get-pcrs"], ["delete", "id"], ["token", "create", "-n", "n"], ["token", "delete", "id"]],
)  # fmt: skip
def test_every_command_says_so(argv: list[str], offline: Callable[..., Any]) -> None:
    outcome = offline(*argv)
    assert (outcome.status, outcome.err) == (1, "Error: no host given: set CAPE_ENCLAVE_HOST or --url\n")


def test_files_and_their_names(tmp_path: Path) -> None:
    plain = load(tmp_path)
    folder = tmp_path / ".config" / "cape"
    assert (plain.config_dir, plain.auth_file, plain.key_file) == (folder, folder / "auth", folder / "capekey.pub.der")
    for prefix in ("CAPE_LOCAL_", "LOCAL_"):
        assert load(tmp_path, {f"{prefix}CONFIG_DIR": "/elsewhere"}).auth_file == Path("/elsewhere/auth")
    for suffix in ("FILE_NAME", "FILENAME"):
        named = load(tmp_path, {f"CAPE_LOCAL_AUTH_{suffix}": "a", f"CAPE_LOCAL_CAPE_KEY_{suffix}": "k"})
        assert (named.auth_file, named.key_file) == (folder / "a", folder / "k")


@pytest.mark.parametrize(
    ("text", "insecure"), [("1", True), ("true", True), ("False", False), ("0", False), ("x", False)]
)
def test_tls_is_checked_unless_told_otherwise(text: str, insecure: bool, tmp_path: Path) -> None:
    assert load(tmp_path, {"CAPE_DEV_DISABLE_SSL": text}).insecure is insecure
    assert load(tmp_path, insecure=True).insecure


def test_the_original_client_id_and_audience(tmp_path: Path) -> None:
    plain = load(tmp_path)
    assert plain.client_id == "oXITxpCdjvRYSDJtaMeycvveqE9qadUS"
    assert plain.audience == "https://app.capeprivacy.com/v1/"


@pytest.mark.parametrize("name", ["CAPE_LOCAL_PRESETS_FILE", "LOCAL_PRESETS_FILE"])
def test_the_presets_file_may_be_elsewhere(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"ENCLAVE_HOST": "https://mine.example", "dev_disable_ssl": true}')
    mine = load(tmp_path, {name: str(file)})
    assert (mine.enclave_host, mine.insecure) == ("https://mine.example", True)
    assert load(tmp_path, presets=str(file)) == mine


def test_presets_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no such file"):
        load(tmp_path, presets=str(tmp_path / "none.json"))
    for content in ("{", "[]", "\xff"):
        (tmp_path / "bad.json").write_bytes(content.encode("latin-1"))
        with pytest.raises(CliError, match="unable to read presets"):
            load(tmp_path, presets=str(tmp_path / "bad.json"))


def test_config_lists_the_options(offline: Callable[..., Any]) -> None:
    outcome = offline("config")
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err == f"Here are the configurable options:\n{', '.join(settings.OPTIONS)}\n"


def test_config_stores_one_beside_the_others(home: Path, offline: Callable[..., Any]) -> None:
    file = presets(home, audience="a")
    assert offline("config", "enclave_host", "https://h.example").status == 0
    assert file.read_text() == '{\n  "audience": "a",\n  "enclave_host": "https://h.example"\n}\n'
    assert load(home).enclave_host == "https://h.example"


def test_config_refuses_what_nobody_reads(home: Path, offline: Callable[..., Any]) -> None:
    outcome = offline("config", "enclave_hots", "https://h.example")
    assert (outcome.status, outcome.err) == (1, "Error: not a valid key: enclave_hots\n")
    assert not (home / ".config").exists()
    assert offline("config", "enclave_host").err.startswith(
        "Error: you must pass a key and a value: invalid number of input arguments\nUsage:"
    )
