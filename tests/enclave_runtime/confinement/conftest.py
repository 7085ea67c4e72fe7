"""Running code in a process that is confined by chosen layers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclave_runtime.confinement import folder, packages
from enclave_runtime.confinement.plan import Limits, Plan
from tests.support import ordinary_user
from tests.support.ordinary_user import USER

if TYPE_CHECKING:
    from enclave_runtime.confinement.layers import Layers
    from enclave_runtime.confinement.warden import Warden

REPOSITORY = Path(__file__).parents[3]
LIMITS = Limits(memory_bytes=1 << 30, file_bytes=64 << 20, tasks=64)

_PROGRAM = """
import json, os, sys
order = json.loads(sys.stdin.readline())
sys.path.insert(0, order["repository"])
from enclave_runtime.confinement import packages, sandbox
from enclave_runtime.confinement.plan import Plan
plan = Plan.from_dict(order["plan"])
scope = {"__name__": "confined", "place": order["place"], "plan": plan}
exec(compile(order["before"], "before", "exec"), scope)
packages.narrow(sandbox.confine(plan))
os.chdir(plan.working)
exec(compile(order["source"], "source", "exec"), scope)
"""


@dataclass
class Machine:
    """This machine, seen by root or by an ordinary user: the layers it has, and how to run code in some of them."""

    warden: Warden
    user: int = field(default_factory=os.geteuid)

    @property
    def root(self) -> bool:
        return self.user == 0

    @property
    def layers(self) -> Layers:
        """All of them."""
        if self.user == os.geteuid():
            return self.warden.layers
        return replace(self.warden.layers, ids=False, cgroup=False, user_namespace=True)

    def run(self, source: str, layers: Layers | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `source` confined; `before` runs in the same process before. `place` is a folder for both.

        Other options are those of a `Plan`; it may be lent `place`'s content by `read_only`.
        """
        layers = self.layers if layers is None else layers
        place = Path(tempfile.mkdtemp(prefix="confined-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        place.chmod(0o755)
        before = options.pop("before", "")
        limits = options.pop("limits", LIMITS)
        with ExitStack() as stack:
            stack.callback(folder.remove, place)
            if self.user != os.geteuid():
                os.chown(place, self.user, self.user)
            user = self.warden.take_user() if layers.ids else None
            if user is not None:
                stack.callback(self.warden.give_back, user)
            given = {
                name: tuple(text.format(place=place) for text in value)
                for name, value in options.items()
                if isinstance(value, tuple)
            }
            lent = {"package_folders": packages.folders(), "packages": packages.promised(), **options, **given}
            plan = Plan(layers, limits, working=str(place / "working"), user=user, **lent)
            order = {
                "repository": str(REPOSITORY),
                "place": str(place),
                "plan": plan.to_dict(),
                "before": before,
                "source": source,
            }
            command = ["-I", "-B", "-c", _PROGRAM]
            process = subprocess.Popen(
                [sys.executable, *command] if os.geteuid() else ordinary_user.command(*command, user=self.user),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            stack.callback(_end, process)
            if layers.cgroup:
                group = self.warden.group(limits)
                assert group is not None
                stack.callback(group.remove)
                group.add(process.pid)
            out, err = process.communicate(json.dumps(order) + "\n", timeout=60)
            return subprocess.CompletedProcess(command, process.returncode, out, err)

    def ask(self, source: str, layers: Layers | None = None, **options: Any) -> str:
        """What `source` prints; it has to end well."""
        done = self.run(source, layers, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _end(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.communicate()


@pytest.fixture(scope="session")
def machine(warden: Warden) -> Machine:
    """As the user who runs the tests."""
    return Machine(warden)


@pytest.fixture(scope="session")
def users_machine(warden: Warden) -> Machine:
    """As an ordinary user, whom the kernel lets make user namespaces."""
    if (reason := ordinary_user.unavailable()) is not None:
        pytest.skip(reason)
    return Machine(warden, USER)


@pytest.fixture(scope="session", params=["tester", "ordinary user"])
def either(request: pytest.FixtureRequest) -> Machine:
    """One after the other."""
    machine: Machine = request.getfixturevalue("machine" if request.param == "tester" else "users_machine")
    return machine
