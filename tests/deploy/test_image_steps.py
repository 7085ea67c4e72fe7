"""Each image has the code and the packages that it needs, and the services of the compose file run in them.

Without Docker: in clean folders, with the copies, packages, commands and variables of Dockerfile and compose file.
"""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import yaml

from tests.support.image_steps import Image, instructions
from tests.support.images import plain
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

REPOSITORY = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text("utf-8"))["services"]
TARGETS = re.findall(r"^FROM base AS ([\w-]+)$", (REPOSITORY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
IMPORT_ALL = """
import importlib, pathlib, sys
failed = []
root = pathlib.Path(sys.argv[1])
for path in sorted(path for name in sys.argv[2:] for path in (root / name).rglob("*.py")):
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    if parts[-1] in {"__main__", "boot"} or not all(part.isidentifier() for part in parts):
        continue
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {type(error).__name__}: {error}")
print("\\n".join(failed))
"""
NOT_IMPORTED = {
    "gateway.cape.migrations.env": "Alembic runs it",
    "enclave_function.": "the function's own modules have its folder as their root",
    "blindsight_cli.local_trust.hook": "runs in other programs' interpreters",
}
"""Modules by the beginnings of their names, and why they are not imported by themselves."""
UNITS = {
    "gateway": ["gateway"],
    "enclave": ["enclave_runtime", "blindsight"],
    "enclave-classifier": ["enclave_runtime", "blindsight"],
    "commands": ["blindsight_cli", "blindsight"],
    "model-build": ["model_build", "enclave_function"],
}
"""The packages of each image all of whose modules are imported. The others are what these import of them."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    folder = tmp_path_factory.mktemp("images")
    return {target: Image(target, folder / target) for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS)
def test_every_module_finds_what_it_imports(images: dict[str, Image], target: str) -> None:
    image = images[target]
    done = image.run(["python", "-c", IMPORT_ALL, str(image.app), *UNITS[target]], ORT_DISABLE_TELEMETRY="1")
    assert done.returncode == 0, done.stderr
    failed = [line for line in done.stdout.splitlines() if line and not line.startswith(tuple(NOT_IMPORTED))]
    assert failed == []


@pytest.mark.parametrize("target", TARGETS)
def test_the_entry_point_starts(images: dict[str, Image], target: str) -> None:
    image = images[target]
    done = image.run([*image.entrypoint, "--help"])
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_only_its_own_units(images: dict[str, Image], target: str) -> None:
    own = {
        "gateway": {"blindsight", "gateway"},
        "enclave": {"blindsight", "enclave_runtime"},
        "enclave-classifier": {"blindsight", "enclave_runtime"},
        "commands": {"blindsight", "blindsight_cli"},
        "model-build": {"blindsight", "model_build", "enclave_function", "enclave_runtime"},
    }[target]
    app = images[target].app
    assert {path.name for path in app.iterdir()} == own | {"requirements"}
    assert not list(app.rglob("node_modules")) + list(app.rglob("__pycache__")) * (target != "commands")
    if target == "enclave-classifier":
        assert not list(app.rglob("*cape*"))


def test_a_missing_copy_is_found(images: dict[str, Image], tmp_path: Path) -> None:
    image = images["gateway"]
    app = tmp_path / "app"
    subprocess.run(["cp", "-r", str(image.app), str(app)], check=True)
    (app / "blindsight" / "cbor.py").unlink()
    done = image.run(["python", "-c", IMPORT_ALL, str(app), "gateway"], PYTHONPATH=str(app), PYTHONSAFEPATH="1")
    assert "cannot import name 'cbor' from 'blindsight'" in done.stdout


class Composed:
    """The services of the compose file, as processes: volumes are folders, addresses are free ports of loopback."""

    def __init__(self, images: dict[str, Image], folder: Path) -> None:
        self.images = images
        self.folder = folder
        self.ports = {number: free_port() for number in ("7500", "8000", "8443", "9000")}

    def volume(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def placed(self, name: str, text: str) -> str:
        """`text` of a service with the paths of its volumes, and with free ports."""
        for volume in SERVICES[name]["volumes"]:
            source, place = volume.split(":")[:2]
            aim = REPOSITORY / source if source.startswith("./") else self.volume(source)
            text = re.sub(rf"(?<![\w.]){re.escape(place)}(?=[/ ]|$)", str(aim), text)
        text = re.sub(r"//(0\.0\.0\.0|enclave):", "//127.0.0.1:", text)
        text = re.sub(r"^0\.0\.0\.0$", "127.0.0.1", text)
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
        return re.sub(r"(?<=[:])(7500|8000|8443|9000)(?=$|/)|^(8000|8443|9000)$", self._port, text)

    def _port(self, found: re.Match[str]) -> str:
        return str(self.ports[found[0]])

    def command(self, name: str) -> tuple[list[str], dict[str, str], Image]:
        service = SERVICES[name]
        image = self.images[service["build"]["target"]]
        words = [*service.get("entrypoint", image.entrypoint), *service.get("command", image.command)]
        given = {**image.environment, **{k: v for k, v in (service.get("environment") or {}).items() if v is not None}}
        return (
            image.argv([self.placed(name, word) for word in words]),
            {key: self.placed(name, value) for key, value in given.items()},
            image,
        )

    def once(self, name: str) -> str:
        argv, environment, image = self.command(name)
        done = subprocess.run(
            argv, cwd=image.app, env=image.variables(environment), capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stderr}"
        return done.stdout

    def start(self, name: str) -> subprocess.Popen[bytes]:
        argv, environment, image = self.command(name)
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                argv, cwd=image.app, env=image.variables(environment), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def healthy(self, name: str) -> bool:
        image = self.images[SERVICES[name]["build"]["target"]]
        check = [re.sub(r"\b(7500|8000)\b", self._port, word) for word in image.healthcheck]
        return image.run(check).returncode == 0


@pytest.fixture(scope="module")
def composed(
    images: dict[str, Image], tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Composed, str]]:
    """The running services, and the token that was printed. The bundle is that of a small model."""
    composed = Composed(images, tmp_path_factory.mktemp("composed"))
    (composed.volume("function") / "function.zip").write_bytes(tiny_stack.bundle.read_bytes())
    for name in ("policy", "tls"):
        composed.once(name)
    token = composed.once("token").strip()
    with ExitStack() as running:
        for name in ("enclave", "gateway"):
            assert not composed.healthy(name)
            process = composed.start(name)
            running.callback(process.wait, 30)
            running.callback(process.terminate)
            wait_until(f"{name} is healthy", lambda name=name: composed.healthy(name), seconds=90)
        yield composed, token


def test_the_services_classify(composed: tuple[Composed, str]) -> None:
    services, token = composed
    url = f"http://127.0.0.1:{services.ports['8000']}"
    with httpx2.Client(base_url=url, trust_env=False, timeout=60) as client:
        assert client.post("/classify", files={"file": plain(55)}).status_code == 401
        answer = client.post("/classify", files={"file": plain(55)}, headers={"Authorization": f"Bearer {token}"})
        assert answer.json()["predictions"][0]["class_id"] == 55
        # The name by which Prometheus' container asks.
        metrics = httpx2.get(
            f"http://127.0.0.1:{services.ports['9000']}/metrics", headers={"Host": "gateway:9000"}, trust_env=False
        )
    assert "enclave_up{" in metrics.text


def test_a_second_start_keeps_the_token(composed: tuple[Composed, str]) -> None:
    services, _ = composed
    assert services.once("token") == ""


def test_instructions_are_understood() -> None:
    known = {
        "ENV",
        "RUN",
        "WORKDIR",
        "COPY",
        "USER",
        "EXPOSE",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
        "VOLUME",
        "LABEL",
        "ARG",
    }
    for target in TARGETS:
        assert {name for name, _ in instructions(target)} <= known
