"""`blindsight doctor` on a state folder: what its policy leaves open, and whether it may still be used."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from blindsight.attestation import Policy
from blindsight_cli.local_trust import environment as local_trust
from tests.support import preloaded
from tests.support.command import blindsight
from tests.support.processes import environment
from tests.support.wire import free_port

REPOSITORY = Path(__file__).parents[3]
PINNED = Policy.expecting({0: "ab" * 48}, function_in_image=True)
OPEN = Policy.expecting({0: "ab" * 48}, any_function=True)
EXPIRED = dataclasses.replace(PINNED, expires=datetime(2026, 1, 1, tzinfo=UTC))
FIRST = '{"schema": "blindsight-policy/1", "roots": [{"kind": "simulated", "sha256": "%s"}], "pcrs": {"0": ["%s"]}}'


def rows_of(folder: Path, text: str | None) -> list[str]:
    state = folder / "state"
    state.mkdir(mode=0o700)
    if text is not None:
        (state / "policy.json").write_text(text)
    return [row for row in doctor(folder, state) if " policy " in row]


def doctor(folder: Path, state: Path) -> list[str]:
    """The rows that it prints. Where nothing is to mend, it succeeds."""
    done = blindsight(folder, "doctor", "--state", state, "--url", f"http://127.0.0.1:{free_port()}")
    assert "Traceback" not in done.stderr
    rows = done.stdout.splitlines()
    assert done.returncode == any(row.startswith("mend") for row in rows)
    return rows


def test_what_is_not_there_is_neither_well_nor_a_fault(tmp_path: Path) -> None:
    rows = doctor(tmp_path, tmp_path / "state")
    (folder,) = (row for row in rows if " state folder " in row)
    (gateway,) = (row for row in rows if " gateway " in row and " packages " not in row)
    assert (folder.split()[0], gateway.split()[0]) == ("none", "none")
    assert "`make run` makes it" in folder
    assert "start it with `make run`" in gateway


@pytest.mark.parametrize(
    ("text", "mark", "said"),
    [
        (PINNED.to_json(), "ok", "code and function pinned"),
        (OPEN.to_json(), "mend", "POLICY LEAVES OPEN: the function."),
        (EXPIRED.to_json(), "mend", "The policy expired at 2026-01-01 00:00:00Z."),
        (FIRST % ("cd" * 32, "ab" * 48), "mend", "any bundle would be accepted"),
        ("{", "mend", "not JSON"),
    ],
    ids=["pinned", "open", "expired", "first format", "no policy"],
)
def test_the_policy_of_the_state_folder(tmp_path: Path, text: str, mark: str, said: str) -> None:
    (row,) = rows_of(tmp_path, text)
    assert row.startswith(mark)
    assert said in row


def test_a_state_folder_without_a_policy_is_nothing_to_mend(tmp_path: Path) -> None:
    assert rows_of(tmp_path, None) == []


def test_the_stack_is_that_of_the_banners_exports(tmp_path: Path) -> None:
    state, elsewhere = tmp_path / "stack", tmp_path / "elsewhere"
    (state / "enclave").mkdir(parents=True)
    (state / "enclave" / "simulated_root.pem").touch()
    (state / "policy.json").write_text(PINNED.to_json())
    elsewhere.mkdir()
    variables = {**environment(elsewhere), "COLUMNS": "400", "CAPE_LOCAL_CONFIG_DIR": str(state / "cape")}
    words = ["doctor", "--url", f"http://127.0.0.1:{free_port()}"]
    seen = preloaded.run_text("blindsight_cli.main", words, cwd=elsewhere, env=variables).stdout
    assert f"{state}, mode" in seen
    assert f"{state / 'policy.json'}, code and function pinned" in seen


@pytest.mark.parametrize("named", [True, False], ids=["option", "variable"])
def test_the_policy_that_commands_use_is_the_one_to_check(tmp_path: Path, *, named: bool) -> None:
    file = tmp_path / "open.json"
    file.write_text(OPEN.to_json())
    variables = {**environment(tmp_path, {} if named else {"policy": file}), "COLUMNS": "400"}
    words = ["doctor", "--url", f"http://127.0.0.1:{free_port()}", *(["--policy", str(file)] if named else [])]
    seen = preloaded.run_text("blindsight_cli.main", words, cwd=tmp_path, env=variables).stdout
    assert "POLICY LEAVES OPEN: the function." in seen


@pytest.mark.parametrize("named", [True, False], ids=["--policy too", "--state alone"])
def test_a_state_folder_on_the_command_line_counts_more_than_a_policy_of_the_environment(
    tmp_path: Path, *, named: bool
) -> None:
    (tmp_path / "open.json").write_text(OPEN.to_json())
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "policy.json").write_text(PINNED.to_json())
    variables = {**environment(tmp_path, {"policy": tmp_path / "open.json"}), "COLUMNS": "400"}
    words = ["doctor", "--state", str(state), "--url", f"http://127.0.0.1:{free_port()}"]
    words += ["--policy", str(tmp_path / "open.json")] if named else []
    seen = preloaded.run_text("blindsight_cli.main", words, cwd=tmp_path, env=variables).stdout
    assert ("POLICY LEAVES OPEN" in seen, "policy.json, code and function pinned" in seen) == (named, not named)


def test_the_folder_of_a_stack_is_looked_up_in_one_order(tmp_path: Path) -> None:
    state = tmp_path / "stack"
    (state / "enclave").mkdir(parents=True)
    (state / "enclave" / "simulated_root.pem").touch()
    variables = {"CAPE_LOCAL_CONFIG_DIR": str(state / "cape")}
    assert local_trust.stack_folder(Path("given"), variables) == Path("given")
    assert local_trust.stack_folder(None, variables) == state
    assert local_trust.stack_folder(None, {}) == Path(".blindsight")


def test_commands_without_the_units_need_nothing_of_theirs(tmp_path: Path) -> None:
    """As the published wheel installs them: such a machine serves nothing."""
    installed = tmp_path / "installed"
    installed.mkdir()
    for package in ("blindsight", "blindsight_cli"):
        (installed / package).symlink_to(REPOSITORY / package)
    # Without `site`: a development installation leads to the units by a .pth file.
    path = os.pathsep.join([str(installed), str(Path(httpx2.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-S", "-m", "blindsight_cli.main", "doctor", "--url", f"http://127.0.0.1:{free_port()}"],
        cwd=tmp_path, env={**environment(tmp_path), "PYTHONPATH": path, "COLUMNS": "400"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "client and commands only" in done.stdout
    assert "packages of" not in done.stdout
    assert "confinement" not in done.stdout
