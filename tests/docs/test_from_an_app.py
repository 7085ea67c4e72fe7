"""docs/from-an-app.md: each program runs as it stands against a real gateway, or the page says that it does not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from blindsight.problems import CATALOGUE
from tests.support import images, node
from tests.support.apps import PAGE, blocks, program
from tests.support.models import label_of
from tests.support.processes import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.stack import Stack

    Retrying = Callable[[], subprocess.CompletedProcess[str]]

PHOTO = 905


@pytest.fixture
def folder(tmp_path: Path, tiny_stack: Stack) -> Path:
    """Where the program runs: a photo and a policy lie there."""
    (tmp_path / "dog.jpeg").write_bytes(images.plain(PHOTO, "JPEG", quality=100))
    (tmp_path / "policy.json").write_bytes(tiny_stack.policy_file.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Node.js app that has installed the JavaScript client."""
    return node.app(tmp_path_factory.mktemp("app"))


def run(*command: str, folder: Path) -> str:
    """What the program prints. It finds the tests' Python packages, and no settings of ours."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    variables = environment(folder)
    variables |= {"GOCACHE": str(folder / "go"), "GO111MODULE": "off", "HOME": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=170
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def first_line(text: str) -> str:
    return text.splitlines()[0]


@pytest.mark.parametrize("number", [0, 1], ids=["plain", "sealed"])
def test_python(tiny_stack: Stack, folder: Path, number: int) -> None:
    (folder / "app.py").write_text(program(tiny_stack.gateway.url, "Python", "python", number))
    output = run(sys.executable, "app.py", folder=folder)
    assert first_line(output).startswith(label_of(PHOTO))
    assert ("SIMULATED" in output) is (number == 1)


@pytest.mark.parametrize("number", [0, 2], ids=["plain", "sealed"])
def test_javascript_in_node(tiny_stack: Stack, app: Path, folder: Path, number: int) -> None:
    """What runs in a browser is in tests/browser."""
    shutil.copytree(app, folder, dirs_exist_ok=True)
    (folder / "app.mjs").write_text(program(tiny_stack.gateway.url, "JavaScript", "js", number))
    output = run(node.node(), "app.mjs", folder=folder)
    assert first_line(output).startswith(label_of(PHOTO))
    assert ("SIMULATED" in output) is (number == 2)


def test_java(tiny_stack: Stack, folder: Path) -> None:
    (folder / "Classify.java").write_text(program(tiny_stack.gateway.url, "Java", "java"))
    assert answered(run("java", "Classify.java", folder=folder))


def test_kotlin(tiny_stack: Stack, folder: Path) -> None:
    (folder / "classify.kt").write_text(program(tiny_stack.gateway.url, "Kotlin", "kotlin"))
    run("kotlinc", "classify.kt", "-include-runtime", "-d", "classify.jar", folder=folder)
    assert answered(run("java", "-jar", "classify.jar", folder=folder))


def test_go(tiny_stack: Stack, folder: Path) -> None:
    (folder / "classify.go").write_text(program(tiny_stack.gateway.url, "Go", "go"))
    output = run("go", "run", "classify.go", folder=folder)
    assert answered(output.removesuffix(" <nil>\n"))


def test_php(tiny_stack: Stack, folder: Path) -> None:
    (folder / "classify.php").write_text(program(tiny_stack.gateway.url, "PHP", "php"))
    if "curl" not in run("php", "-m", folder=folder).split():
        pytest.skip("PHP has no curl: install Debian's php-curl")
    output = run("php", "classify.php", folder=folder)
    assert first_line(output).startswith(label_of(PHOTO))


def test_csharp(tiny_stack: Stack, folder: Path) -> None:
    (folder / "classify.cs").write_text(program(tiny_stack.gateway.url, "C#", "csharp"))
    run("mcs", "-langversion:latest", "-r:System.Net.Http.dll", "classify.cs", folder=folder)
    assert answered(run("mono", "classify.exe", folder=folder))


def answered(output: str) -> bool:
    """Whether a program printed 200 and an answer for the photo."""
    status, _, body = output.strip().partition(" ")
    return status == "200" and bool(json.loads(body)["predictions"][0]["label"] == label_of(PHOTO))


def test_every_program_is_run_or_marked() -> None:
    runs = {"python", "js", "java", "kotlin", "go", "php", "csharp"}
    shown = set(re.findall(r"^```(\w+)$", PAGE, re.MULTILINE)) - {"console"}
    assert shown == runs | {"swift"}
    for section in PAGE.split("\n## ")[1:]:
        assert ("*Not run*" in section) is ("```swift" in section), first_line(section)
    assert [len(blocks(heading, language)) for heading, language in LENGTHS] == list(LENGTHS.values())


def test_its_table_of_retries_is_the_catalogues() -> None:
    table = dict(re.findall(r"^\| ([^|]+) \| (.*`.*) \|[^|]+\|$", PAGE.partition("## Retries")[2], re.MULTILINE))
    del table["status"]  # Its head.
    retried = table.pop("408, 429, 503, 504")
    codes = set(re.findall(r"`(\w+)`", retried))
    assert codes == {code for code, kind in CATALOGUE.items() if kind.retry}
    assert {CATALOGUE[code].status for code in codes} == {408, 429, 503, 504}
    for status, row in table.items():
        for code in re.findall(r"`(\w+)`", row):
            kind = CATALOGUE[code]
            assert not kind.retry
            assert status in {str(kind.status), f"other {kind.status // 100}xx"}


LENGTHS = {
    ("Python", "python"): 2,
    ("JavaScript", "js"): 3,
    ("Java", "java"): 1,
    ("Kotlin", "kotlin"): 1,
    ("Go", "go"): 1,
    ("PHP", "php"): 1,
    ("C#", "csharp"): 1,
    ("Retries", "python"): 1,
    ("Retries", "js"): 1,
}


class Busy(ThreadingHTTPServer):
    """Before a gateway: answers the first posts with `refusals`, and passes on everything else."""

    def __init__(self, gateway: str, refusals: list[tuple[int, str, bool]]) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.gateway = gateway
        self.refusals = deque(refusals)
        self.posts: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Relay(BaseHTTPRequestHandler):
    server: Busy

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        self.server.posts.append(time.monotonic())
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.server.refusals:
            self._pass_on(body)
            return
        status, code, retryable = self.server.refusals.popleft()
        problem = {"code": code, "status": status, "title": "t", "detail": "d", "retryable": retryable}
        headers = {"content-type": "application/problem+json", "retry-after": "1"}
        self._answer(status, headers, json.dumps(problem).encode())

    def _pass_on(self, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() in {"content-type", "accept"}}
        answer = httpx2.request(self.command, self.server.gateway + self.path, content=body, headers=headers)
        self._answer(answer.status_code, {"content-type": answer.headers["content-type"]}, answer.content)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def busy(tiny_stack: Stack) -> Iterator[Busy]:
    with Busy(tiny_stack.gateway.url, []) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["python", "js"])
def retrying(request: pytest.FixtureRequest, folder: Path, busy: Busy) -> Retrying:
    """Runs the page's program that retries."""
    language: str = request.param
    if language == "js":
        shutil.copytree(request.getfixturevalue("app"), folder, dirs_exist_ok=True)
    name = {"python": "app.py", "js": "app.mjs"}[language]
    (folder / name).write_text(program(busy.url, "Retries", language))
    command = [sys.executable if language == "python" else node.node(), name]
    variables = environment(folder)
    return lambda: subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=120
    )


def test_what_is_retryable_is_sent_again_after_a_while(busy: Busy, retrying: Retrying) -> None:
    busy.refusals.extend([(503, "overloaded", True), (503, "draining", True)])
    done = retrying()
    assert (done.returncode, done.stdout.strip()) == (0, label_of(PHOTO)), done.stderr
    first, second, third = busy.posts
    assert second - first >= 1
    assert third - second >= 2


def test_what_is_not_retryable_is_sent_once(busy: Busy, retrying: Retrying) -> None:
    busy.refusals.append((401, "unauthenticated", False))
    done = retrying()
    assert done.returncode != 0
    assert ("401" if "urllib" in done.stderr else "unauthenticated") in done.stderr
    assert len(busy.posts) == 1
