"""Deploying: what goes over the wire, for whom it is encrypted, what the token allows."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import tokens
from blindsight_cli.cape import functions
from blindsight_cli.cape.package import package
from tests.support.fake_cape_host import PCRS, PYTHON, running_cape_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost

SAYS = "Deploying function to Cape ...\n"
RUNS = f"Functions run on Python 3.11 on x86_64 Linux ({PYTHON}) there\n"


@pytest.fixture
def key_file(home: Path) -> Path:
    return home / ".config" / "cape" / "capekey.pub.der"


def test_a_folder_is_deployed(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    outcome = ada("deploy", str(echo))
    assert (outcome.status, outcome.err, outcome.warned) == (0, SAYS + RUNS, True)
    [function] = host.functions.values()
    assert outcome.out == (
        f"Function ID       ➜  {function.id}\n"
        f"Function Checksum ➜  {function.checksum.hex()}\n"
        "Function Name     ➜  ada/echo\n"
    )
    assert (function.name, function.owner, function.public) == ("echo", "ada", False)
    with package(str(echo)) as archive:
        assert function.archive == archive.file.read()


def test_as_json_it_is_one_line(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    outcome = ada("deploy", str(echo), "-o", "json", "-n", "other", "--public")
    [function] = host.functions.values()
    assert outcome.out == (
        f'{{"function_id":"{function.id}","function_checksum":"{function.checksum.hex()}","function_name":"ada/other"}}\n'
    )
    assert function.public


def test_a_zip_is_deployed_as_it_is(ada: Callable[..., Any], host: FakeCapeHost, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "fn.v2.zip", "w") as archive:
        archive.writestr("app.py", "x")
    outcome = ada("deploy", str(tmp_path / "fn.v2.zip"), "-o", "json")
    content = (tmp_path / "fn.v2.zip").read_bytes()
    assert json.loads(outcome.out)["function_checksum"] == hashlib.sha256(content).hexdigest()
    [function] = host.functions.values()
    assert (function.archive, function.name) == (content, "fn")


def test_it_goes_out_in_fragments_without_filling_memory(
    ada: Callable[..., Any], host: FakeCapeHost, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.mkdir()
    (big / "app.py").write_bytes(os.urandom(3_000_000))
    with package(str(big)) as archive:
        key = functions.load_public_key(host.cape_key_der("ada"))
        tracemalloc.start()
        for piece in functions._encrypted(archive, key, lambda _: None):
            assert len(piece) <= functions.FRAGMENT_BYTES
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 * functions.FRAGMENT_BYTES
    assert ada("deploy", str(big)).status == 0
    assert max(host.fragments) <= functions.FRAGMENT_BYTES
    assert len(host.fragments) > 3_000_000 // functions.FRAGMENT_BYTES


def test_the_token_allows_this_archive_only(
    ada: Callable[..., Any], host: FakeCapeHost, echo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    verify = host.account_of
    monkeypatch.setattr(host, "account_of", lambda token: (seen.append(token), verify(token))[1])
    ada("deploy", str(echo), "--public")
    token = tokens.verify(seen[-1], host.accounts["ada"])
    [function] = host.functions.values()
    assert token.deploy == (function.checksum, "echo", True)
    assert token.expires - token.issued == tokens.DEPLOY_LIFETIME


@pytest.mark.parametrize("kept", [True, False])
def test_one_connection_is_all_it_takes(
    ada: Callable[..., Any], host: FakeCapeHost, echo: Path, key_file: Path, *, kept: bool
) -> None:
    """Its evidence carries the key that the bundle is for."""
    if not kept:
        key_file.unlink()
    host.sockets.clear()
    assert ada("deploy", str(echo)).status == 0
    assert host.sockets == ["/v1/deploy"]
    assert key_file.read_bytes() == host.cape_key_der("ada")


def test_evidence_without_a_key_gets_no_upload(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    host.faults["key"] = b""
    outcome = ada("deploy", str(echo))
    assert (outcome.status, host.functions) == (1, {})
    assert outcome.err.endswith("Error: unable to deploy function: did not receive cape key\n")


def test_a_foreign_cached_key_is_not_used(
    ada: Callable[..., Any], host: FakeCapeHost, echo: Path, key_file: Path
) -> None:
    key_file.write_bytes(host.cape_key_der("stranger"))  # As Cape's own command line or an attacker would leave it.
    assert ada("deploy", str(echo)).status == 0
    assert key_file.read_bytes() == host.cape_key_der("ada")


def test_another_hosts_cached_key_is_not_used(
    ada: Callable[..., Any], host: FakeCapeHost, echo: Path, key_file: Path, tmp_path: Path
) -> None:
    with running_cape_host(tmp_path / "elsewhere") as other:
        other.accounts.update(host.accounts)
        assert ada("deploy", str(echo), "-u", other.url, "--root", str(other.root)).status == 0
        assert other.sockets == ["/v1/deploy"]


def test_measurements_are_asked_of_the_key_too(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    host.sockets.clear()
    assert ada("deploy", str(echo), "--pcr", f"0:{PCRS[0].hex()},1:{PCRS[1].hex()}").status == 0
    assert host.sockets == ["/v1/deploy"]


def test_other_measurements_get_nothing(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    outcome = ada("deploy", str(echo), "-p", "0:AB", "-p", "0:cd")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == f"{SAYS}Error: unable to deploy function: PCR0 {PCRS[0].hex()} does not match [ab cd]\n"
    assert host.functions == {}


@pytest.mark.parametrize("pcr", ["x:ab", "ab", "-1:ab", "32:ab", "0:", "0:é!", ":", "0"])
def test_a_measurement_that_is_none(pcr: str, ada: Callable[..., Any], echo: Path) -> None:
    outcome = ada("deploy", str(echo), f"--pcr={pcr}")
    text = f"Error: unable to parse PCR number for input: {pcr}, please specify numeric PCR number\n"
    assert (outcome.status, outcome.err) == (1, SAYS + text)


def test_a_replayed_document_gets_nothing(ada: Callable[..., Any], host: FakeCapeHost, echo: Path) -> None:
    host.faults["nonce"] = bytes(24)
    outcome = ada("deploy", str(echo))
    assert outcome.err == f"{SAYS}Error: unable to deploy function: error validating nonce\n"
    assert host.functions == {}


def test_a_given_token_is_sent_as_it_is(ada: Callable[..., Any], host: FakeCapeHost, echo: Path, home: Path) -> None:
    outcome = ada("deploy", str(echo), "-t", json.loads((home / ".config/cape/auth").read_bytes())["access_token"])
    assert outcome.err.endswith("Error: unable to deploy function: the token is not valid\n")


@pytest.mark.parametrize("token", ["a b", "x==", "é"])
def test_a_token_that_cannot_travel_is_refused_here(token: str, ada: Callable[..., Any], echo: Path) -> None:
    outcome = ada("deploy", str(echo), "-t", token)
    assert outcome.err.endswith(
        "Error: unable to deploy function: the token is empty or has characters that no token has\n"
    )


def test_what_the_host_says_before_it_hangs_up_is_shown(
    ada: Callable[..., Any], host: FakeCapeHost, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.mkdir()
    (big / "app.py").write_bytes(os.urandom(20_000_000))
    host.faults["hang up"] = "the store is full"
    outcome = ada("deploy", str(big))
    assert outcome.err == f"{SAYS}{RUNS}Error: unable to deploy function: the store is full\n"


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        ((401, '{"error":"token is expired"}'), "your token is expired. Try logging in again with `cape login`"),
        ((401, '{"error":"who?","message":"who?"}'), "error code: 401, reason: who?"),
        ((502, "Bad Gateway"), "error code: 502, reason: the host gives none"),
    ],
)
def test_a_refused_handshake(
    refusal: tuple[int, str], text: str, ada: Callable[..., Any], host: FakeCapeHost, echo: Path
) -> None:
    host.faults["refusal"] = refusal
    assert ada("deploy", str(echo)).err == f"{SAYS}Error: unable to deploy function: {text}\n"


def test_what_cannot_be_deployed(ada: Callable[..., Any], tmp_path: Path) -> None:
    arguments = (
        "Error: you must specify a directory to upload: invalid number of input arguments\nUsage:\n  cape deploy"
    )
    assert ada("deploy").err.startswith(arguments)
    assert ada("deploy", "a", "b").err.startswith(arguments)
    missing = tmp_path / "none"
    text = f"Error: unable to read function directory or file: open {missing}: no such file or directory\n"
    assert ada("deploy", str(missing)).err == text


def test_a_name_that_no_function_can_have(ada: Callable[..., Any], echo: Path, tmp_path: Path) -> None:
    for argv in (["-n", "a/b"], ["-n", "x" * 101], ["-n", "ä"]):
        assert (
            "Error: unable to deploy function: the name of a function has 1 to 100"
            in ada("deploy", str(echo), *argv).err
        )
    hidden = echo.rename(tmp_path / ".echo")
    assert "Error: unable to deploy function: the name of a function has 1 to 100" in ada("deploy", str(hidden)).err
    assert ada("deploy", str(hidden), "-n", "echo").status == 0


def test_without_a_login(cape: Callable[..., Any], echo: Path, home: Path) -> None:
    auth = home / ".config" / "cape" / "auth"
    text = f"Error: failed to get auth token (did you run 'cape login'?): open {auth}: no such file or directory\n"
    assert cape("deploy", str(echo)).err == text
    auth.parent.mkdir(parents=True)
    auth.write_text("{}")
    assert cape("deploy", str(echo)).err == "Error: empty access token (did you run 'cape login'?)\n"
    auth.write_text("x")
    assert "is not a JSON object" in cape("deploy", str(echo)).err


def test_without_the_owner_key(ada: Callable[..., Any], echo: Path, home: Path) -> None:
    (home / ".config" / "cape" / "owner.key").unlink()
    assert "Error: no owner key at " in ada("deploy", str(echo)).err


def test_a_key_in_another_format_is_refused(
    ada: Callable[..., Any], host: FakeCapeHost, echo: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file.unlink()
    monkeypatch.setattr(host, "cape_key_der", lambda _: b"no key")
    assert ada("deploy", str(echo)).err.endswith("key in unexpected format: not a public key\n")


def test_progress_is_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with functions._progress(10_000_000) as advance:
        advance(10_000_000)
    assert "Uploading" in capsys.readouterr().err
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    with functions._progress(10_000_000) as advance:
        advance(10_000_000)
    assert capsys.readouterr().err == ""
