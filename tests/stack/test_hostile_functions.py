"""A hostile classifier and a hostile Cape function in a real stack: alone, and both for one another.

What they are to run is their input; what came of it is their answer.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import tempfile
import zipfile
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from blindsight.errors import CapeError
from tests.support import ordinary_user
from tests.support import stack as stacks
from tests.support.cape_guest import Guest, trust_of, zipped
from tests.support.memory_hogs import CHILDREN_TAKE
from tests.support.stack import Stack
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import SimpleNamespace

    from tests.support.models import TinyModel
    from tests.support.processes import Enclave

ATTACKS = Path(__file__).parents[1] / "enclave_runtime" / "confinement" / "attacks.py"
MEMORY = 128 << 20
SECONDS = 4
NOT_THERE = {"FileNotFoundError", "PermissionError"}
CANARY = "a photo that another caller has sent"

RUNNING = """
import json, os


def _ran(source):
    scope = {}
    try:
        exec(source, scope)
        result = scope.get("result")
    except BaseException as error:
        result = {"error": type(error).__name__, "text": str(error)[:200]}
    return json.dumps(result)
"""
CAPE_FUNCTION = RUNNING + "\n\ndef cape_handler(data):\n    return _ran(data)\n"
CLASSIFIER = (
    RUNNING
    + """

def classify(data, *, top_k, threads):
    text = _ran(data)
    parts = [text[start : start + 30] for start in range(0, len(text), 30)]
    return {
        "predictions": [
            {"rank": rank, "class_id": 1, "label": part, "score": 0.5} for rank, part in enumerate(parts, start=1)
        ],
        "image": {"width": 1, "height": 1},
        "timings_ms": {"decode": 0, "preprocess": 0, "run": 0},
    }
"""
)


class HostileStack(Stack):
    """One whose classifier and whose only function are hostile, with narrow bounds."""

    def start_enclave(self, bundle: Path | None = None, state: Path | None = None, **options: Any) -> Enclave:
        bounds = {"call_seconds": SECONDS, "handler_seconds": SECONDS, "handler_memory": MEMORY}
        return super().start_enclave(bundle, state, **{**bounds, **options})

    @cached_property
    def guest(self) -> Guest:
        return Guest.sign_up("mallory", self.gateway.url, trust_of(self))

    @cached_property
    def function_id(self) -> str:
        return self.guest.deploy("hostile", zipped(CAPE_FUNCTION))

    def classifier(self, source: str) -> Any:
        """What `source` leaves in `result`, run by a worker; None if that was lost."""
        answer = self.client.post(
            "/classify?top_k=1000", content=source.encode(), headers={"content-type": "image/png"}
        )
        if answer.status_code != 200:
            assert answer.json()["code"] in {"worker_lost", "deadline_exceeded"}, answer.text
            return None
        return json.loads("".join(each["label"] for each in answer.json()["predictions"]))

    def cape_function(self, source: str) -> Any:
        return json.loads(self.guest.run(self.function_id, source.encode()))

    def both(self, kind: str, source: str) -> Any:
        return self.classifier(source) if kind == "classifier" else self.cape_function(source)


@pytest.fixture(scope="module", params=["tester", "ordinary user"])
def stack(
    request: pytest.FixtureRequest, colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HostileStack]:
    """The enclave is a process of the tests' user, which may be root, or of a user who has no rights at all."""
    folder = tmp_path_factory.mktemp("hostile")
    user = None
    if request.param == "ordinary user":
        if (reason := ordinary_user.unavailable()) is not None:
            pytest.skip(reason)
        user, folder = ordinary_user.USER, Path(tempfile.mkdtemp(prefix="hostile-", dir="/var/tmp"))
        folder.chmod(0o755)
    genuine = stacks.build

    def build(model: Path, bundle: Path) -> None:
        genuine(model, bundle)
        draft = bundle.with_suffix(".draft")
        with zipfile.ZipFile(bundle) as built, zipfile.ZipFile(draft, "w") as changed:
            for entry in built.infolist():
                changed.writestr(entry, CLASSIFIER if entry.filename == "app.py" else built.read(entry))
        draft.rename(bundle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacks, "build", build)
        kind = type("HostileStackOfUser", (HostileStack,), {"user": user})
        running = kind(colour_model.folder, folder, workers=2, cape=True)
    if user is not None:
        assert psutil.Process(running.enclave.pid).uids().real == user
    try:
        yield running
    finally:
        running.stop()
        if user is not None:
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def there() -> Iterator[SimpleNamespace]:
    """What there is to reach for the attacks of `attacks.py`: files, and another process."""
    scope: dict[str, Any] = {"__name__": "attacks"}
    exec(compile(ATTACKS.read_text(), str(ATTACKS), "exec"), scope)
    place = tempfile.mkdtemp(prefix="hostile-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    Path(place).chmod(0o755)
    scope["prepare"](place)
    yield scope["there"]
    with scope["there"].process as bystander:
        bystander.kill()
    shutil.rmtree(place)


@pytest.fixture(scope="module", params=["classifier", "Cape function"])
def outcomes(request: pytest.FixtureRequest, stack: HostileStack, there: SimpleNamespace) -> dict[str, str]:
    known = {name: str(value) if isinstance(value, Path) else value for name, value in vars(there).items()}
    del known["process"]
    source = f"""
known = {known!r}
scope = {{"__name__": "attacks"}}
exec(compile({ATTACKS.read_text()!r}, "attacks", "exec"), scope)
vars(scope["there"]).update(
    {{name: scope["Path"](value) if isinstance(value, str) else value for name, value in known.items()}}
)
result = scope["tried"]()
"""
    ended: dict[str, str] = stack.both(request.param, source)
    assert "error" not in ended, ended
    return ended


def refusal(answer: Any) -> str:
    """The name of the exception that the function got; empty if there was none."""
    return str(answer.get("error", "")) if isinstance(answer, dict) else ""


def state_files(stack: HostileStack) -> list[Path]:
    return [path for path in sorted(stack.state.iterdir()) if path.is_file()]


@pytest.mark.parametrize("kind", ["classifier", "Cape function"])
def test_the_runtime_s_secrets_are_out_of_reach(stack: HostileStack, kind: str) -> None:
    files = state_files(stack)
    assert {path.name for path in files} >= {"root_secret", "simulated_root.pem"}
    for path in (*files, stack.bundle, stack.policy_file, stack.folder / "cape.sqlite"):
        assert path.stat().st_size > 0
        answer = stack.both(kind, f"result = len(open({str(path)!r}, 'rb').read())")
        assert refusal(answer) in NOT_THERE, path
    answer = stack.both(kind, f"import os; result = os.listdir({str(stack.state)!r})")
    assert refusal(answer) in NOT_THERE


@pytest.mark.parametrize("kind", ["classifier", "Cape function"])
def test_photos_and_keys_are_not_read_out_of_memory(stack: HostileStack, kind: str) -> None:
    """Of the runtime, of the other worker, or of another's function."""
    assert stack.classifier(f"result = {CANARY!r}") == CANARY
    victims = [psutil.Process(stack.enclave.pid), *psutil.Process(stack.enclave.pid).children(recursive=True)]
    source = f"""
read = {{}}
for pid in {[victim.pid for victim in victims]}:
    try:
        with open(f"/proc/{{pid}}/maps") as maps, open(f"/proc/{{pid}}/mem", "rb", buffering=0) as memory:
            for line in maps:
                if " rw-p " in line and "[heap]" in line:
                    memory.seek(int(line.partition("-")[0], 16))
                    read[pid] = len(memory.read(4096))
    except OSError as error:
        read[pid] = type(error).__name__
# Numbers of processes inside may be the same as numbers outside.
import os
result = {{pid: outcome for pid, outcome in read.items() if str(outcome).isdecimal() and pid != os.getpid()}}
"""
    assert stack.both(kind, source) == {}


_OPEN_THE_RUNTIME = """
import ctypes, sys
opened = []
for name in ("mem", "environ", "maps", "auxv"):
    try:
        open(f"/proc/{sys.argv[1]}/{name}", "rb").close()
    except PermissionError:
        continue
    opened.append(name)
if ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), 0, 0) == 0:
    opened.append("ptrace")
print(opened)
"""


def test_other_programs_of_the_runtimes_own_user_do_not_read_its_memory(stack: HostileStack) -> None:
    """The runtime cannot be traced (PR_SET_DUMPABLE); only root reads its memory."""
    if stack.user is None:
        pytest.skip("the enclave's user may be root, who reads everything")
    command = ordinary_user.command("-c", _OPEN_THE_RUNTIME, str(stack.enclave.pid))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.parametrize("kind", ["classifier", "Cape function"])
def test_the_runtime_and_the_others_are_not_signalled(stack: HostileStack, kind: str) -> None:
    processes = [psutil.Process(stack.enclave.pid), *psutil.Process(stack.enclave.pid).children(recursive=True)]
    source = f"""
import os
sent = []
for pid in {[process.pid for process in processes]}:
    if pid == os.getpid():
        continue
    try:
        os.kill(pid, 0)
    except OSError:
        continue
    sent.append(pid)
result = sent
"""
    assert stack.both(kind, source) == []


@pytest.mark.parametrize("kind", ["classifier", "Cape function"])
def test_no_way_leads_out_by_network_or_by_socket(stack: HostileStack, kind: str, tmp_path: Path) -> None:
    with ExitStack() as opened:
        tcp = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = opened.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0hostile-{tcp.getsockname()[1]}")
        abstract.listen()
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            by_path = opened.enter_context(socket.socket(socket.AF_UNIX))
            by_path.bind(f"{folder}/socket")
            by_path.listen()
            Path(folder).chmod(0o755)
            Path(folder, "socket").chmod(0o666)
            source = f"""
import socket
reached = []
for family, address in (
    (socket.AF_INET, ("127.0.0.1", {tcp.getsockname()[1]})),
    (socket.AF_INET, ("127.0.0.1", {stack.gateway.port})),
    (socket.AF_INET, ("127.0.0.1", {stack.enclave_port})),
    (socket.AF_UNIX, "\\0hostile-{tcp.getsockname()[1]}"),
    (socket.AF_UNIX, {folder + "/socket"!r}),
):
    try:
        client = socket.socket(family)
        client.settimeout(2)
        client.connect(address)
    except OSError:
        continue
    reached.append(repr(address))
result = reached
"""
            assert stack.both(kind, source) == []


def test_the_two_do_not_see_each_other(stack: HostileStack) -> None:
    """Not by a file anywhere that both can write, and not by a name."""
    source = """
import os
done = []
for folder in ("/tmp", "/dev/shm", "/var/tmp", os.getcwd(), os.path.expanduser("~")):
    try:
        open(f"{folder}/left by the NAME", "MODE").close()
    except OSError:
        continue
    done.append(folder)
result = done
"""
    for one, other in (("classifier", "Cape function"), ("Cape function", "classifier")):
        name = f"{one} {secrets.token_hex(8)}"
        outside = [Path(folder, f"left by the {name}") for folder in ("/tmp", "/dev/shm", "/var/tmp")]
        try:
            assert stack.both(one, source.replace("NAME", name).replace("MODE", "w")) != []
            assert stack.both(other, source.replace("NAME", name).replace("MODE", "r")) == []
            assert not [path for path in outside if path.exists()]
        finally:
            for path in outside:
                path.unlink(missing_ok=True)


def test_weights_that_workers_share_are_not_changed(stack: HostileStack) -> None:
    source = """
import os
shared = os.environ["BLINDSIGHT_SHARED_WEIGHTS"]
made = []
for path in (shared + "/hostile", os.path.dirname(os.path.abspath(__file__ if "__file__" in globals() else "app.py"))):
    try:
        open(path + "/app.py" if os.path.isdir(path) else path, "w").write("x")
    except OSError:
        continue
    made.append(path)
result = made
"""
    for _ in range(4):  # Whichever worker it is.
        assert stack.classifier(source) == []


def test_nothing_of_the_machine_is_reached(outcomes: dict[str, str]) -> None:
    assert len(outcomes) > 30
    # With all layers a function's own user namespace is refused, too; that stands in `test_attacks.py`.
    assert [name for name, outcome in outcomes.items() if outcome == "reached"] == []


@pytest.mark.parametrize("kind", ["classifier", "Cape function"])
def test_an_endless_loop_is_ended_and_the_next_is_answered(stack: HostileStack, kind: str) -> None:
    if kind == "classifier":
        assert stack.classifier("while True: pass") is None
    else:
        with pytest.raises(CapeError, match="took longer than"):
            stack.cape_function("while True: pass")
    assert stack.both(kind, "result = 1 + 1") == 2


FORKS = """
import os, signal
made = 0
try:
    while made < 600:
        if not os.fork():
            signal.pause()
        made += 1
except OSError:
    pass
result = made
"""
CHILDREN = f"{CHILDREN_TAKE}\nresult = megabytes\n"


@pytest.mark.parametrize("kind", ["classifier", "Cape function"])
def test_a_fork_bomb_is_bounded(stack: HostileStack, kind: str) -> None:
    made = stack.both(kind, FORKS)
    assert made is None or made <= 256
    wait_until("its children end", lambda: stack.both(kind, "result = 3") == 3)


def test_six_children_of_a_function_have_one_limit(stack: HostileStack) -> None:
    """The tenant is bounded as a whole: not each process that it starts."""
    try:
        taken = stack.cape_function(CHILDREN)
    except CapeError:  # Ended for it, which is a bound, too.
        taken = 0
    assert taken <= 1.25 * MEMORY / (1 << 20)
    assert stack.cape_function("result = 4") == 4


def test_after_all_that_the_stack_is_well(stack: HostileStack) -> None:
    assert stack.enclave.running
    assert stack.gateway.running
    wait_until("both workers are there", lambda: stack.enclave.status()["workers"] == 2)
    assert stack.classifier("result = 'well'") == "well"
    log = stack.enclave.log()
    assert "Traceback" not in log
    assert CANARY not in log
