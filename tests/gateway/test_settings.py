"""Settings: documented, checked at start, and closed to the world without tokens."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from blindsight.attestation import Policy
from gateway import __main__ as command_line
from gateway import log
from gateway.settings import Settings
from gateway.start import CannotStart, start
from tests.support.processes import environment
from tests.support.settings_table import PAGE, generated, table


@pytest.fixture(autouse=True)
def _no_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but the test's."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BLINDSIGHT_")]:
        monkeypatch.delenv(name)


def test_every_setting_is_documented_as_it_is() -> None:
    assert generated(PAGE.read_text(encoding="utf-8")) == table(), "run: python -m tests.support.settings_table"
    assert all(field.description and field.description.endswith(".") for field in Settings.model_fields.values())


def test_every_setting_is_read_from_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        name: f"/{name}" if "Path" in str(field.annotation) else "7" for name, field in Settings.model_fields.items()
    }
    values |= {"host": "localhost", "metrics_host": "::1", "enclave": "unix:///run/enclave.sock", "open_signup": "True"}
    values |= {"root_path": "/ml", "proxies": "10.0.0.0/8,::1"}
    values |= {"traces": "http://collector:4318/v1/traces", "traces_ratio": "0.5"}
    values |= {"rate_limit": "10/second", "quota": "100/day", "redis": "redis://127.0.0.1/0"}
    values |= {"hosts": "classify.example,*.example", "origins": "https://app.example"}
    for name, value in values.items():
        monkeypatch.setenv(f"BLINDSIGHT_{name.upper()}", value)
    settings = Settings()
    given = {**settings.model_dump(), "redis": settings.redis and settings.redis.get_secret_value()}
    assert {name: str(value).removesuffix(".0") for name, value in given.items()} == values


@pytest.mark.parametrize("block", re.findall(r"^```ini\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))
def test_what_the_page_sets_can_be_set(tmp_path: Path, block: str) -> None:
    (tmp_path / ".env").write_text(f"BLINDSIGHT_POLICY=p\n{block}")
    given = dict(line.split("=", 1) for line in block.splitlines())
    settings = Settings().model_dump()
    assert given
    for name, value in given.items():
        assert str(settings[name.removeprefix("BLINDSIGHT_").lower()]) == value


def test_environment_goes_before_dot_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("BLINDSIGHT_POLICY=from-file\nBLINDSIGHT_PORT=1234\nOTHER=1\nBLINDSIGHT_OTHER=1\n")
    monkeypatch.setenv("BLINDSIGHT_PORT", "4321")
    settings = Settings()
    assert (settings.policy, settings.port) == (Path("from-file"), 4321)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate_limit": "SECRET"}, "write it as 10/second"),
        ({"rate_limit": ""}, "write it as 10/second"),
        ({"quota": "5/day;6/day"}, "two limits for the same time"),
        ({"quota": "0/day"}, "an amount is a number from 1"),
        ({"quota": "5/day", "redis": "http://:SECRET@127.0.0.1"}, "write it as redis://"),
        ({"quota": "5/day", "redis": "redis://:SECRET@127.0.0.1:port"}, "write it as redis://"),
        ({"quota": "5/day", "redis": "redis://:SECRET@127.0.0.1/0?socket_timeout=SECRET"}, "write it as redis://"),
        ({"quota": "5/day", "redis": "redis://:SECRET@127.0.0.1/0?decode_responses=1"}, "write it as redis://"),
        ({"quota": "5/day", "redis": "rediss://:SECRET@127.0.0.1/0?ssl_ca_cert=SECRET"}, "write it as redis://"),
        ({"quota": "5/day", "redis": "redis://:SECRET@127.0.0.1/0?ssl_ca_certs=SECRET"}, "write it as redis://"),
        ({"quota": "5/day", "redis": "rediss://:SECRET@127.0.0.1/0?ssl_cert_reqs=SECRET"}, "write it as redis://"),
        ({"redis": "redis://:SECRET@127.0.0.1"}, "BLINDSIGHT_REDIS needs"),
        ({"quota": "5/day", "redis_password_file": "SECRET"}, "BLINDSIGHT_REDIS_PASSWORD_FILE needs"),
    ],
)
def test_limits_that_cannot_be_are_told_without_their_secrets(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], message: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"BLINDSIGHT_{name.upper()}", value)
    monkeypatch.setenv("BLINDSIGHT_POLICY", "p")
    with pytest.raises(CannotStart, match=message) as refused:
        start()
    assert "SECRET" not in str(refused.value)


def test_the_password_of_redis_is_in_no_representation() -> None:
    assert "SECRET" not in repr(Settings(policy=Path("p"), quota="1/day", redis="redis://:SECRET@127.0.0.1"))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.7", "2001:db8::1", "example.org", "", "localhost.example.org"]
)
def test_beyond_loopback_tokens_are_needed(host: str) -> None:
    with pytest.raises(ValidationError, match="BLINDSIGHT_TOKENS_FILE"):
        Settings(host=host, policy=Path("p"))
    assert Settings(host=host, policy=Path("p"), tokens_file=Path("t")).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert Settings(host=host, policy=Path("p")).tokens_file is None


def _fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **settings: str
) -> str:  # fmt: skip
    """The one line that the command says when it cannot start with `settings`."""
    for name, value in settings.items():
        monkeypatch.setenv(f"BLINDSIGHT_{name.upper()}", value)
    monkeypatch.setattr(sys, "argv", ["gateway"])
    monkeypatch.setattr(log, "configure", lambda: None)
    assert command_line.main() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gateway: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "BLINDSIGHT_POLICY: "),
        ({"policy": "p", "port": "http"}, "BLINDSIGHT_PORT: "),
        ({"policy": "p", "port": "65536"}, "BLINDSIGHT_PORT: "),
        ({"policy": "p", "deadline": "0"}, "BLINDSIGHT_DEADLINE: "),
        ({"policy": "p", "max_in_flight": "0"}, "BLINDSIGHT_MAX_IN_FLIGHT: "),
        ({"policy": "p", "tls_port": "8443"}, "BLINDSIGHT_TLS_CERTIFICATE"),
        ({"policy": "p", "hosts": "https://classify.example"}, "BLINDSIGHT_HOSTS: 'https://classify.example'"),
        ({"policy": "p", "hosts": "good.example,classify.example:443"}, "BLINDSIGHT_HOSTS: 'classify.example:443'"),
        ({"policy": "p", "hosts": "zürich.example"}, "BLINDSIGHT_HOSTS: 'zürich.example'"),
        ({"policy": "p", "hosts": "a.*.example"}, "BLINDSIGHT_HOSTS: 'a.*.example'"),
        ({"policy": "p", "origins": "app.example"}, "BLINDSIGHT_ORIGINS: 'app.example'"),
        ({"policy": "p", "origins": "null"}, "BLINDSIGHT_ORIGINS: 'null'"),
        ({"policy": "p", "origins": "https://app.example/"}, "BLINDSIGHT_ORIGINS: 'https://app.example/'"),
        ({"policy": "p", "origins": "*"}, "BLINDSIGHT_ORIGINS: '*'"),
        ({"policy": "p", "origins": "https://a.example,*"}, "BLINDSIGHT_ORIGINS: '*'"),
        ({"policy": "p", "proxies": "*"}, "BLINDSIGHT_PROXIES: '*'"),
        ({"policy": "p", "proxies": "10.0.0.1, proxy.example"}, "BLINDSIGHT_PROXIES: 'proxy.example'"),
        ({"policy": "p", "proxies": "10.0.0.1/8"}, "BLINDSIGHT_PROXIES: '10.0.0.1/8'"),
        ({"policy": "p", "proxies": "0.0.0.0/0"}, "BLINDSIGHT_PROXIES: '0.0.0.0/0'"),
        ({"policy": "p", "proxies": "::/0"}, "BLINDSIGHT_PROXIES: '::/0'"),
        ({"policy": "p", "root_path": "ml"}, "BLINDSIGHT_ROOT_PATH: 'ml'"),
        ({"policy": "p", "root_path": "https://a.example/ml"}, "BLINDSIGHT_ROOT_PATH: 'https://a.example/ml'"),
        ({"policy": "p", "root_path": "/a//b"}, "BLINDSIGHT_ROOT_PATH: '/a//b'"),
        ({"policy": "p", "root_path": "/../ml"}, "BLINDSIGHT_ROOT_PATH: '/../ml'"),
        ({"policy": "p", "root_path": "/ml?x"}, "BLINDSIGHT_ROOT_PATH: '/ml?x'"),
        ({"policy": "p", "root_path": "/m\u00fcll"}, "BLINDSIGHT_ROOT_PATH: '/m\u00fcll'"),
        ({"policy": "p", "keepalive_timeout": "0"}, "BLINDSIGHT_KEEPALIVE_TIMEOUT: "),
        ({"policy": "p", "keepalive_timeout": "-1"}, "BLINDSIGHT_KEEPALIVE_TIMEOUT: "),
        ({"policy": "p", "keepalive_timeout": "inf"}, "BLINDSIGHT_KEEPALIVE_TIMEOUT: "),
        ({"policy": "p", "keepalive_timeout": "nan"}, "BLINDSIGHT_KEEPALIVE_TIMEOUT: "),
        ({"policy": "p", "deadline": "inf"}, "BLINDSIGHT_DEADLINE: "),
        ({"policy": "missing.json"}, "missing.json"),
        ({"policy": "p", "enclave": "enclave:7500"}, "BLINDSIGHT_ENCLAVE: 'enclave:7500' is not an address"),
        ({"policy": "p", "enclave": "vsock://*:7500"}, "BLINDSIGHT_ENCLAVE: the enclave is one machine: give its CID"),
        ({"policy": "p", "enclave_port": "7501"}, "set BLINDSIGHT_ENCLAVE=tcp://127.0.0.1:7501 instead"),
        (
            {"policy": "p", "enclave_host": "enclave", "enclave": "tcp://enclave:7500"},
            "BLINDSIGHT_ENCLAVE_HOST is no longer read: set BLINDSIGHT_ENCLAVE=tcp://enclave:7500 instead",
        ),
    ],
)
def test_unusable_settings_end_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: dict[str, str], named: str
) -> None:
    assert named in _fails(monkeypatch, capsys, **settings)


def test_a_variable_of_an_earlier_release_in_dot_env(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ignored, it would leave the gateway with the default address."""
    (tmp_path / ".env").write_text("BLINDSIGHT_ENCLAVE_HOST=enclave\nBLINDSIGHT_ENCLAVE_PORT=7501\n")
    said = _fails(monkeypatch, capsys, policy="p")
    assert "BLINDSIGHT_ENCLAVE_HOST and BLINDSIGHT_ENCLAVE_PORT" in said
    assert "set BLINDSIGHT_ENCLAVE=tcp://enclave:7501 instead" in said


@pytest.mark.parametrize("root_path", ["/classify", "/v1", "/v1/ml", "/static", "/docs", "/.well-known/ml", "/oauth"])
def test_a_root_path_that_is_the_gateways_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root_path: str
) -> None:
    """It could not be told whether a request has it or lacks it."""
    said = _fails(monkeypatch, capsys, policy=str(_policy(tmp_path)), root_path=root_path)
    assert f"BLINDSIGHT_ROOT_PATH: '{root_path}'" in said


@pytest.mark.parametrize(
    ("given", "used"), [("", ""), ("/", ""), ("/ml", "/ml"), ("/ml/", "/ml"), ("/a/b-c_d.e~f", "/a/b-c_d.e~f")]
)
def test_a_root_path_in_either_spelling(given: str, used: str) -> None:
    assert Settings(policy=Path("p"), root_path=given).root_path == used


def _policy(folder: Path) -> Path:
    file = folder / "policy.json"
    file.write_text(Policy.expecting({0: "cd" * 48}, function_in_image=True).to_json())
    return file


def test_an_unusable_token_file_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tokens").touch()
    assert "holds no token" in _fails(monkeypatch, capsys, policy=str(_policy(tmp_path)), tokens_file="tokens")


def test_a_taken_port_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in _fails(monkeypatch, capsys, policy=str(_policy(tmp_path)), port=port)


def test_the_process_refuses_to_listen_to_the_world(tmp_path: Path) -> None:
    settings = {"policy": _policy(tmp_path), "host": "0.0.0.0", "port": 0}
    done = subprocess.run(
        [sys.executable, "-m", "gateway"], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60,
        env=environment(tmp_path, settings),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "refusing to listen on 0.0.0.0 without authentication" in done.stderr
    assert "python -m gateway token" in done.stderr
