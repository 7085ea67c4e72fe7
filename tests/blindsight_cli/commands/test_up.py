"""`blindsight up` as a user runs it: one command, a stack, Ctrl-C, nothing left behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import psutil
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from blindsight.cape import tokens
from blindsight.cape.messages import b64
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from blindsight_cli import provision
from blindsight_cli.local_trust import environment as local_trust
from tests.support import preloaded
from tests.support.cape_front import owner
from tests.support.command import blindsight
from tests.support.images import plain
from tests.support.models import label_of
from tests.support.problems import check
from tests.support.processes import environment
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.models import TinyModel

START_SECONDS = 90


class Up:
    """A running `blindsight up`."""

    def __init__(self, model: Path, folder: Path, *more: str) -> None:
        self.state = folder / "a stack's [state]"
        self.port, self.tls_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ["--port", self.port, "--tls-port", self.tls_port]
        arguments += ["--state", self.state, "--model", model, "--workers", 1, *more]
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "blindsight_cli.main", "up", *map(str, arguments)],
                cwd=folder,
                env=environment(folder),
                stdout=output,
                stderr=output,
            )
        wait_until("the banner", self._banner, seconds=START_SECONDS)

    def _banner(self) -> bool:
        assert self.process.poll() is None, self.output()
        return "Ctrl-C stops everything" in self.output()

    def output(self) -> str:
        return self._output.read_text()

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def unit(self, module: str) -> psutil.Process:
        (found,) = _units(self, module)
        return found


@pytest.fixture(scope="module")
def metrics_port_taken() -> Iterator[None]:
    """Port 9000, as on machines where another program has it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # Then another program has it indeed.
            listener.bind(("127.0.0.1", 9000))
            listener.listen()
        yield


@pytest.fixture(scope="module")
def up(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory, metrics_port_taken: None) -> Iterator[Up]:
    running = Up(colour_model.folder, tmp_path_factory.mktemp("up"))
    yield running
    processes = running.descendants()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0, running.output()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []


def test_the_banner_names_what_to_do_and_what_not_to_believe(up: Up) -> None:
    assert f"curl -F file=@photo.jpg localhost:{up.port}/classify" in up.output()
    assert "SIMULATED" in up.output()


def test_the_banner_and_the_doctor_say_what_confines_untrusted_code(up: Up, tmp_path: Path) -> None:
    told = httpx2.get(f"{up.url}/info", trust_env=False).json()["confinement"]
    layers = ", ".join(told["layers"])
    whole = f"{layers}; without" if told["absent"] else f"complete: {layers}"
    state = "incomplete: " if told["gaps"] else whole
    (line,) = [line for line in up.output().splitlines() if "Confinement" in line]
    assert state in line
    seen = blindsight(tmp_path, "doctor", "--url", up.url, "--state", str(up.state)).stdout
    (line,) = [line for line in seen.splitlines() if "confinement" in line]
    assert line.startswith("mend" if told["gaps"] else "ok")
    assert (told["gaps"][0][:20] if told["gaps"] else state) in line


def test_another_stack_does_not_take_its_folder(up: Up, colour_model: TinyModel, tmp_path: Path) -> None:
    before = (up.state / "policy.json").read_bytes()
    ports = ["--port", str(free_port()), "--tls-port", "0", "--metrics-port", "0"]
    done = blindsight(tmp_path, "up", *ports, "--state", str(up.state), "--model", str(colour_model.folder))
    assert done.returncode == 1
    assert f"another stack uses {up.state} (process {up.process.pid})" in done.stderr
    assert "next:" in done.stderr
    assert (up.state / "policy.json").read_bytes() == before
    assert httpx2.get(f"{up.url}/readyz", trust_env=False).status_code == 200


def test_its_own_ports_do_not_hide_which_stack_has_the_folder(up: Up, tmp_path: Path) -> None:
    """As in a second `make run`, which asks for the same ones."""
    done = blindsight(tmp_path, "up", "--port", up.port, "--tls-port", up.tls_port, "--state", up.state)
    assert done.stderr.startswith(f"error: another stack uses {up.state} (process {up.process.pid})\n"), done.stderr


@pytest.mark.parametrize(
    ("out", "command"),
    [
        ("tls/ca.pem", ["tls", "--host", "photos.example", "--out", "STATE/tls"]),
        ("function.zip", ["bundle", "build", "--model", "MODEL", "--out", "STATE/function.zip"]),
        ("function.zip", ["bundle", "build", "--model", "MODEL", "--ou=STATE/function.zip"]),
    ],
)
def test_no_other_command_rewrites_what_the_stack_uses(
    up: Up, colour_model: TinyModel, tmp_path: Path, out: str, command: list[str]
) -> None:
    before = (up.state / out).read_bytes()
    words = [word.replace("STATE", str(up.state)).replace("MODEL", str(colour_model.folder)) for word in command]
    done = blindsight(tmp_path, *words)
    assert (up.state / out).read_bytes() == before
    assert done.returncode == 1
    assert f"of the stack that runs in {up.state} (process {up.process.pid})\nnext:  " in done.stderr


def test_metrics_have_a_free_port_where_none_was_asked_for(up: Up) -> None:
    (line,) = [line for line in up.output().splitlines() if line.startswith("  Metrics ")]
    url = line.split()[1]
    assert not url.startswith("http://localhost:9000/")
    assert "requests_in_progress" in httpx2.get(url, trust_env=False).text


def test_ports_are_to_differ(tmp_path: Path) -> None:
    port = str(free_port())
    done = blindsight(tmp_path, "up", "--port", port, "--tls-port", port)
    assert (done.returncode, "a port each" in done.stderr) == (1, True)


def test_the_banner_says_how_other_commands_find_it(up: Up) -> None:
    assert f"export BLINDSIGHT_URL=http://127.0.0.1:{up.port}" in up.output()


def test_photos_are_classified_by_the_command(up: Up, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(plain(905))
    bad.write_bytes(b"nothing")
    done = blindsight(tmp_path, "classify", "--url", up.url, "--json", str(good), str(bad))
    assert done.returncode == 1
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["file"], first["predictions"][0]["class_id"]) == (str(good), 905)
    assert second["problem"]["code"] == "not_an_image"
    assert "SIMULATED" in done.stderr
    assert "Traceback" not in done.stderr


def test_https_is_served_under_the_machines_own_authority(up: Up) -> None:
    context = ssl.create_default_context(cafile=up.state / "tls" / "ca.pem")
    answer = httpx2.get(f"https://localhost:{up.tls_port}/livez", verify=context, trust_env=False)
    assert answer.status_code == 200
    assert (up.state / "tls" / "server.key").stat().st_mode & 0o777 == 0o600
    assert (up.state / "tls" / "ca.key").stat().st_mode & 0o777 == 0o600


def exports(output: str) -> dict[str, str]:
    """The variables that the banner says to export."""
    lines = [line.strip() for line in output.splitlines() if line.strip().startswith("export ")]
    return dict(shlex.split(line)[1].split("=", 1) for line in lines)


def cape(up: Up, *arguments: str, **changes: str) -> str:
    """What the `cape` command prints, in the environment that the banner tells of."""
    done = cape_process(up, arguments, **changes)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cape_process(up: Up, arguments: Sequence[str], **changes: str) -> subprocess.CompletedProcess[str]:
    said = exports(up.output())
    before = {**environment(up.state.parent), **said, **changes}
    variables = local_trust.trusting(up.state, said["CAPE_ENCLAVE_HOST"], before)
    return preloaded.run_text("blindsight_cli.cape.main", arguments, cwd=up.state.parent, env=variables)


def test_what_the_banner_says_to_export_runs_the_classifier(up: Up, tmp_path: Path) -> None:
    said = exports(up.output())
    photo, sealed = tmp_path / "photo.png", tmp_path / "photo.cape"
    photo.write_bytes(plain(623))
    token = ("--token", said["TOKEN"], "--function-checksum", said["FUNCTION_CHECKSUM"])
    answer = json.loads(cape(up, "run", said["FUNCTION_ID"], "--file", str(photo), *token))
    assert next(iter(answer)) == label_of(623)
    sealed.write_text(cape(up, "encrypt", "--file", str(photo)))
    assert json.loads(cape(up, "run", "local/classifier", "--file", str(sealed), *token)) == answer


def pasted(up: Up, folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell in another folder, after all exports of the banner."""
    lines = [line for line in up.output().splitlines() if line.startswith("    export ")]
    variables = environment(folder)
    del variables["PYTHONPATH"]
    script = "\n".join([*lines, line])
    return subprocess.run(
        ["sh", "-euc", script], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def test_all_that_the_banner_says_works_from_any_folder(up: Up, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "photo.jpg").write_bytes(plain(905))
    (trusting,) = [line for line in up.output().splitlines() if "with-local-trust" in line]
    program = trusting.split("with-local-trust")[0]
    (curl,) = [line for line in up.output().splitlines() if line.startswith("    curl ")]
    assert label_of(905) in pasted(up, elsewhere, curl).stdout
    for command, seen in (
        ("classify --sealed photo.jpg", label_of(905)),
        ("attest", "10. Freshness     passed"),
        ("with-local-trust sh -c 'cat \"$BLINDSIGHT_LOCAL_ROOT\"'", "BEGIN CERTIFICATE"),
    ):
        done = pasted(up, elsewhere, f"{program}{command}")
        assert (done.returncode, seen in done.stdout) == (0, True), done.stderr


def test_without_the_exports_local_trust_says_what_to_do(up: Up, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "with-local-trust", "true")
    assert done.returncode == 1
    assert done.stderr.splitlines()[1].startswith("next:  ")
    assert "CAPE_LOCAL_CONFIG_DIR" in done.stderr


def test_an_account_of_elsewhere_is_no_stack(up: Up, tmp_path: Path) -> None:
    """`CAPE_LOCAL_CONFIG_DIR` may be any folder of a user's own."""
    assert local_trust.state_of({"CAPE_LOCAL_CONFIG_DIR": str(up.state / "cape")}) == up.state
    for other in (up.state / "tls", tmp_path / "cape", "cape", "", up.state):
        assert local_trust.state_of({"CAPE_LOCAL_CONFIG_DIR": str(other)}) is None


def test_an_account_takes_the_stacks_own_token(up: Up) -> None:
    """Which `with-local-trust` hands to `cape signup`, and to no other host's."""
    mallory = owner("mallory")
    body = {"username": "mallory", "owner_public_key": b64(mallory.public), "proof": mallory.token()}
    answer = httpx2.post(f"{up.url}/v1/accounts", json=body, trust_env=False)
    assert answer.status_code == 401, answer.text
    check(answer, "unauthenticated")
    for file in (up.state / "cape" / "signup.token", up.state / "gateway" / "signup_tokens"):
        assert file.stat().st_mode & 0o777 == 0o600
    said = exports(up.output())
    elsewhere = {"CAPE_ENCLAVE_HOST": "https://cape.example"}
    assert "BLINDSIGHT_API_TOKEN" not in local_trust.trusting(up.state, said["CAPE_ENCLAVE_HOST"], elsewhere)
    folder = {"CAPE_LOCAL_CONFIG_DIR": str(up.state.parent / "second")}
    assert "all set" in cape(up, "signup", "second", **folder)
    done = cape_process(up, ["signup", "third", "--api-token", "bs_wrong"], **folder)
    assert done.returncode == 1
    assert "signup token" in done.stderr


def test_the_enclaves_port_is_the_gateways_alone(up: Up) -> None:
    """Every program of this machine can connect to it."""
    arguments = up.unit("enclave_runtime").cmdline()
    port = int(arguments[arguments.index("--listen") + 1].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rb") as stream:
        connection.sendall(frames.encode(FrameKind.STATUS_REQUEST))
        assert stream.read(5)[4:] == bytes([FrameKind.REFUSAL])
    assert (up.state / "enclave" / "gateway_secret").stat().st_mode & 0o777 == 0o600


def test_ciphertext_of_the_local_account_is_classified_and_other_text_is_not(up: Up, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(plain(717))
    sealed = cape(up, "encrypt", "--file", str(photo)).strip()
    text = {"content-type": "text/plain"}
    with httpx2.Client(base_url=up.url, trust_env=False, timeout=30) as client:
        for answer in (
            client.post("/classify", content=sealed, headers=text),
            client.post("/classify", json={"ciphertext": sealed}),
        ):
            assert answer.status_code == 200, answer.text
            assert answer.json()["predictions"][0]["class_id"] == 717
        check(client.post("/classify", content=sealed[:-8], headers=text), "cannot_decrypt")
        check(client.post("/classify", content="a photo", headers=text), "cannot_decrypt")


def ciphertext_status(up: Up, sealed: str) -> int:
    text = {"content-type": "text/plain"}
    return httpx2.post(f"{up.url}/classify", content=sealed, headers=text, trust_env=False, timeout=30).status_code


def signed(up: Up, left: timedelta) -> str:
    """A grant of the local owner's that is good for so long."""
    folder = local_trust.config_folder(up.state)
    key: Any = load_pem_private_key((folder / "owner.key").read_bytes(), None)
    checksum = hashlib.sha256((up.state / "function.zip").read_bytes()).hexdigest()
    claims = {"func_checksum": checksum, "function_name": "classifier", "public": False}
    return tokens.mint(key, "local", "deploy", lifetime=left, **claims)


def test_the_owners_permission_lives_for_days_and_is_renewed_in_time(up: Up) -> None:
    file = provision.grant_file(up.state)
    first = tokens.peek(file.read_text())
    assert first.expires is not None
    assert timedelta(days=6) < first.expires - datetime.now(UTC) <= timedelta(days=7)
    for left, stays in ((timedelta(days=5), True), (timedelta(days=3), False), (timedelta(days=-1), False)):
        grant = signed(up, left)
        file.write_text(grant)
        provision.renew_grant(up.state, up.state / "function.zip", up.url)
        assert (file.read_text() == grant) is stays
    file.write_text("no token")
    provision.renew_grant(up.state, up.state / "function.zip", up.url)
    assert tokens.peek(file.read_text()).scope == "deploy"


def test_the_owners_permission_is_listed_and_ends_with_its_revocation(up: Up, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(plain(717))
    sealed = cape(up, "encrypt", "--file", str(photo)).strip()
    file = provision.grant_file(up.state)
    # The gateway looks at the file each second. The end of a short grant shows that no earlier one counts.
    file.write_text(signed(up, timedelta(seconds=6)))
    wait_until("the short grant ends", lambda: ciphertext_status(up, sealed) == 422)
    provision.renew_grant(up.state, up.state / "function.zip", up.url)
    wait_until("the grant counts", lambda: ciphertext_status(up, sealed) == 200)
    token_id = tokens.peek(file.read_text()).id
    assert token_id in cape(up, "token", "list")
    cape(up, "token", "delete", token_id)
    assert ciphertext_status(up, sealed) == 422
    file.unlink()
    provision.renew_grant(up.state, up.state / "function.zip", up.url)
    wait_until("the next grant counts", lambda: ciphertext_status(up, sealed) == 200)


def test_evidence_is_verified_by_the_command(up: Up, tmp_path: Path) -> None:
    document = tmp_path / "document.cbor"
    done = blindsight(tmp_path, "attest", up.url, "--policy", str(up.state / "policy.json"), "--save", str(document))
    assert done.returncode == 0, done.stderr
    assert "10. Freshness     passed" in done.stdout
    assert document.read_bytes()[:1] == b"\x84"


def test_another_policy_refuses_the_enclave_by_name(up: Up, tmp_path: Path) -> None:
    policy = json.loads((up.state / "policy.json").read_text())
    policy["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    other = tmp_path / "policy.json"
    other.write_text(json.dumps(policy))
    done = blindsight(tmp_path, "attest", up.url, "--policy", str(other))
    assert done.returncode == 1
    assert "refused at step 7" in done.stderr
    assert "pcr_mismatch" in done.stderr


def test_the_doctor_finds_a_well_stack(up: Up, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "doctor", "--url", up.url, "--state", str(up.state))
    assert done.returncode == 0, done.stdout
    assert f"ready at {up.url}" in done.stdout.replace("\n", "")


def test_a_second_stack_on_the_same_port_is_refused_in_one_line(up: Up, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "up", "--port", str(up.port), "--state", str(tmp_path / "state"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {up.port} is taken\nnext:  ")


@pytest.mark.parametrize("module", ["enclave_runtime", "gateway"])
def test_a_unit_that_is_killed_comes_back(up: Up, module: str) -> None:
    first = up.unit(module)
    first.kill()
    first.wait(10)
    wait_until("another one", lambda: any(c.pid != first.pid for c in _units(up, module)), seconds=30)
    wait_until("ready again", up.ready, seconds=30)
    # Readiness may be a second old: until the gateway has looked again, it answers a retryable problem.
    wait_until("an answer", lambda: _class_of(up, plain(123)) == 123, seconds=30)


def test_a_killed_supervisor_leaves_nothing_running(colour_model: TinyModel, tmp_path: Path) -> None:
    running = Up(colour_model.folder, tmp_path)
    processes = running.descendants()
    assert len(processes) >= 3  # enclave, its worker with those that wait for it, gateway
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait(10)
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []


def test_nothing_listening_is_said_with_the_next_step(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        photo = tmp_path / "photo.png"
        photo.write_bytes(plain(1))
        done = blindsight(tmp_path, "classify", "--url", url, str(photo))
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "blindsight up" in done.stderr


def test_a_model_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    arguments = ["--port", str(free_port()), "--tls-port", "0", "--metrics-port", "0", "--state", str(tmp_path / "s")]
    done = blindsight(tmp_path, "up", *arguments, "--model", str(tmp_path / "none.onnx"))
    assert done.returncode == 1
    assert "there is no model" in done.stderr
    assert "Traceback" not in done.stderr


def _class_of(up: Up, photo: bytes) -> int | None:
    try:
        answer = httpx2.post(
            f"{up.url}/classify", content=photo, headers={"content-type": "image/png"}, trust_env=False
        )
    except httpx2.TransportError:
        return None
    return answer.json()["predictions"][0]["class_id"] if answer.status_code == 200 else None


def _units(up: Up, module: str) -> list[psutil.Process]:
    found = []
    for child in up.descendants():
        try:
            if "serve" in child.cmdline() and {module, f"{module}.commands"} & {*child.cmdline()}:
                found.append(child)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found
