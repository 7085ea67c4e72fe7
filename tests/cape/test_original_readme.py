"""The original README of Cape's example, command by command, as examples/README.md goes through it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from PIL import Image

from enclave_runtime.evidence.simulated_pki import load_or_create_root
from tests.support.cape_host import OFFLINE_MODEL, pycape_packages, require_pycape
from tests.support.documented import commands_of
from tests.support.processes import environment
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.models import TinyModel

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.timeout(600)
START_SECONDS = 240
STOP_SECONDS = 60
SECONDS = 200
PUBLISHED = ("golden retriever", "Labrador retriever")
"""What the page shows for the dog: known with the assets' photo and trained model alone."""


@dataclass
class Clone:
    """A clone of the project in which `make run` serves: `.venv`, `pycape`, `examples` and the stack's folder."""

    folder: Path
    url: str
    banner: str
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / ".blindsight"

    def run(self, command: str, folder: str = "examples", **variables: str) -> subprocess.CompletedProcess[str]:
        """Type `command` in a shell; all that it prints is in `stdout`."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder / folder,
            env=self.variables | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def done(self, command: str, folder: str = "examples", **variables: str) -> str:
        found = self.run(command, folder, **variables)
        assert found.returncode == 0, f"{command}\n{found.stdout}"
        return found.stdout


@pytest.fixture(scope="module")
def clone(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    python = require_pycape()
    folder = tmp_path_factory.mktemp("a clone")
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "pycape").symlink_to(python.parent.parent)
    ports = {"port": free_port(), "tls-port": free_port(), "metrics-port": 0, "workers": 1}
    options = [f"--{name}={value}" for name, value in ports.items()]
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "blindsight_cli.main", "up", *options, "--model", str(colour_model.folder)],
            cwd=folder,
            env=environment(folder),
            stdout=file,
            stderr=file,
        )

    def serves() -> bool:
        assert process.poll() is None, output.read_text()
        return "Ctrl-C stops everything" in output.read_text()

    try:
        wait_until("the banner", serves, seconds=START_SECONDS)
        kept = {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "250", "PIP_NO_INDEX": "1"}
        yield Clone(folder, f"https://localhost:{ports['tls-port']}", output.read_text(), kept)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()
            process.wait()


def exported(clone: Clone) -> dict[str, str]:
    """What the banner of `make run` says to export."""
    return dict(re.findall(r"^ *export (\w+)=(\S+)$", clone.banner, re.MULTILINE))


@pytest.fixture(scope="module")
def plain(clone: Clone) -> Clone:
    """The reader's shell with the banner's exports and without local trust."""
    path = f"{clone.folder}/pycape/bin:{clone.folder}/.venv/bin:{clone.variables['PATH']}"
    return Clone(clone.folder, clone.url, clone.banner, clone.variables | exported(clone) | {"PATH": path})


@pytest.fixture(scope="module")
def trusting(clone: Clone, plain: Clone) -> Clone:
    """The shell that `blindsight with-local-trust bash` is, with the exports of the page."""
    told = clone.done(f".venv/bin/blindsight with-local-trust --url {clone.url} env -0 2>/dev/null", ".")
    variables = dict(entry.split("=", 1) for entry in told.rstrip("\0").split("\0"))
    ours = {"PATH": plain.variables["PATH"], "CAPE_LOCAL_CONFIG_DIR": f"{clone.folder}/.config/cape"}
    return Clone(clone.folder, clone.url, clone.banner, variables | ours)


def commands() -> list[tuple[str, tuple[str, ...]]]:
    """What the original README says to type, each with the lines that the page shows of the output."""
    return [(each.typed, each.shown) for each in commands_of("examples/README.md", "The original README, line by line")]


def missing(shown: Sequence[str], output: str) -> list[str]:
    """The shown lines that are in no line of `output`, in their order; an ellipsis stands for anything."""
    lines, absent = iter(output.splitlines()), []
    for each in shown:
        form = re.compile(".*".join(map(re.escape, each.split("…"))))
        if each != "…" and not any(form.fullmatch(line) for line in lines):
            absent.append(each)
    return absent


def bring(package: str, target: Path) -> None:
    """What `pip install --target` would put there, from this environment: the suite has no network."""
    for each in (package, "numpy"):
        for path in importlib.metadata.files(each) or []:
            source, copy = Path(str(path.locate())), target / path
            if not {"..", "tests"} & set(path.parts) and source.suffix != ".pyc":
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)


def model_of_the_example(folder: Path) -> tuple[Path, Path]:
    """An ONNX file with the published one's name and contract, and its labels: trained, where there are the assets."""
    assets = os.environ.get("BLINDSIGHT_ASSETS")
    models = Path(assets) / "models" if assets else OFFLINE_MODEL
    onnx, labels = ("mobilenet_v2_imagenet.onnx", "imagenet_classes.txt") if assets else (
        "offline.onnx", "cifar10_classes.txt")  # fmt: skip
    copy = folder / "published"
    copy.mkdir()
    return Path(shutil.copy(models / onnx, copy / "resnet50.onnx")), Path(
        shutil.copy(models / labels, copy / "imagenet_classes.txt")
    )


def photo_of_the_example(folder: Path) -> None:
    folder.mkdir()
    if assets := os.environ.get("BLINDSIGHT_ASSETS"):
        shutil.copy(Path(assets) / "images" / "dog.jpeg", folder)
        return
    import skimage  # heavy, and only its sample pictures are wanted

    shutil.copy(Path(skimage.__file__).parent / "data" / "chelsea.png", folder / "dog.jpeg")


def test_the_original_readme_line_by_line(clone: Clone, trusting: Clone) -> None:
    onnx, labels = model_of_the_example(clone.folder)
    photo_of_the_example(clone.folder / "examples" / "images_sample")
    typed = commands()
    # The first four make the shell that is `trusting`.
    assert [command.split()[0] for command, _ in typed[:4]] == ["python3", ".venv/bin/blindsight", "export", "cd"]
    last: dict[str, str] = {}
    for command, shown in typed[4:]:
        if command.startswith("export "):
            name, value = command.removeprefix("export ").split("=", 1)
            trusting.variables[name] = value.strip('"') if value.startswith('"') else last[name]
            continue
        if "pip install --quiet onnxruntime" in command:
            bring("onnxruntime", clone.folder / "examples" / trusting.variables["TARGET"])
            continue
        options = f' --onnx "{onnx}" --labels "{labels}"' if "convert_resnet_to_onnx" in command else ""
        output = trusting.done(command + options)
        known = [line for line in shown if "BLINDSIGHT_ASSETS" in os.environ or not line.startswith(PUBLISHED)]
        assert missing(known, output) == [], f"{command}\n{output}"
        if command.startswith("python run_"):
            assert len(re.findall(r"^[\w ,'-]+: \d+\.\d%$", output, re.MULTILINE)) == 5, output
        for name, form in (("FUNCTION_ID", r"^Function ID +➜  (\S+)$"), ("TOKEN", r"^Success! Your token: (\S+)$")):
            if printed := re.search(form, output, re.MULTILINE):
                last[name] = printed[1]


def test_the_quickest_start(clone: Clone, plain: Clone) -> None:
    """With what the banner says to export; the name of the class is that of the assets' model."""
    (start,) = commands_of("examples/README.md", "")
    (clone.folder / ".venv-pycape").symlink_to(clone.folder / "pycape")
    Image.new("RGB", (300, 300), "red").save(clone.folder / "dog.jpeg")
    output = plain.done(start.typed, ".")
    assert len(re.findall(r"^[\w ,'-]+: \d+\.\d%$", output, re.MULTILINE)) == 5, output
    assert start.shown[0].startswith(PUBLISHED)


def test_the_commands_are_those_of_the_original() -> None:
    """In its order; what is not typed here has a sentence beside it."""
    original = [
        "convert_resnet_to_onnx.py", "cape signup", 'export TARGET="onnx_resnet_deploy"', "mkdir $TARGET",
        "cp app.py $TARGET", "cp -r onnx_model $TARGET", "cp imagenet_classes.txt $TARGET", "onnxruntime",
        "cape deploy onnx_resnet_deploy", "export FUNCTION_ID=<copied from above>",
        "cape token create --name resnet", "export TOKEN=<copied from above>", "pip install",
        "python run_prediction.py", "python encrypt.py", "python encrypt_for_user.py capedocs",
        "python run_encrypt.py",
    ]  # fmt: skip
    typed = [command for command, _ in commands()][4:]
    assert len(typed) == len(original)
    for ours, theirs in zip(typed, original, strict=True):
        assert theirs in ours


def test_the_example_account_is_this_machines(clone: Clone, trusting: Clone) -> None:
    """What is encrypted for `capedocs`, functions read that are deployed with the owner key in the stack's folder."""
    key = clone.state / "capedocs" / "owner.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert f"capedocs is an example account; its owner key is in {key.parent}" in clone.banner
    value = trusting.done("python encrypt_for_user.py capedocs 2>/dev/null").removeprefix("Encrypted: ").strip()
    (clone.folder / "greeting.cape").write_text(value)
    (clone.folder / "echo").mkdir()
    (clone.folder / "echo" / "app.py").write_text("def cape_handler(content):\n    return content\n")
    its = {"CAPE_LOCAL_CONFIG_DIR": str(key.parent)}
    trusting.done("cape deploy ../echo", **its)
    assert trusting.done("cape run capedocs/echo -f ../greeting.cape 2>/dev/null", **its) == "hi capedocs\n"


@pytest.fixture
def photo(clone: Clone) -> Path:
    path = clone.folder / "photo.png"
    Image.new("RGB", (300, 300), "red").save(path)
    return path


@pytest.fixture
def account(clone: Clone, tmp_path: Path) -> str:
    """A copy of the local account's folder: pycape keeps the keys of others in it, and asks no more for them."""
    return str(shutil.copytree(clone.state / "cape", tmp_path / "cape"))


WITH_A_ROOT = """\
import os, runpy, sys
import pycape._attestation as attestation
if os.environ.get("ROOT"):
    attestation.download_root_cert = lambda: open(os.environ["ROOT"], "rb").read()
sys.argv = sys.argv[1:]
sys.path.insert(0, os.getcwd())
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("script", "variables"),
    [
        ("run_prediction.py", {}),
        ("run_prediction.py", {"ROOT": "genuine"}),
        ("run_prediction.py", {"ROOT": "genuine", "SSL_CERT_FILE": "authority"}),
        ("run_encrypt.py", {}),
        ("encrypt_for_user.py", {}),
        ("encrypt_for_user.py", {"ROOT": "genuine", "REQUESTS_CA_BUNDLE": "authority"}),
    ],
    ids=["no network", "network", "TLS trusted", "encrypted", "a user's key", "a user's key, TLS trusted"],
)
def test_without_local_trust_the_script_says_what_to_do(
    script: str, variables: dict[str, str], plain: Clone, photo: Path, account: str
) -> None:
    (plain.folder / "starter.py").write_text(WITH_A_ROOT)
    files = {"authority": plain.state / "tls" / "ca.pem", "genuine": other_root(plain.folder)}
    variables = {name: str(files[value]) for name, value in variables.items()} | {"CAPE_LOCAL_CONFIG_DIR": account}
    argument = "local" if script == "encrypt_for_user.py" else photo
    done = plain.run(f'python ../starter.py {script} "{argument}"', **variables)
    assert done.returncode == 1
    said, following = done.stdout.splitlines()
    assert said == f"error: pycape does not trust {plain.url}: its enclave is simulated on this machine"
    command = following.removeprefix("next:  ")
    assert command == f"'{plain.folder}/.venv/bin/blindsight' with-local-trust '{plain.folder}/pycape/bin/python' " + (
        f"{script} '{argument}'" if argument == photo else f"{script} {argument}"
    )


def test_what_it_says_works_as_printed(plain: Clone, account: str) -> None:
    done = plain.run("python encrypt_for_user.py local", CAPE_LOCAL_CONFIG_DIR=account)
    command = done.stdout.splitlines()[-1].removeprefix("next:  ")
    # The default port and folder are the tests' own by no means.
    command = command.replace("with-local-trust", f"with-local-trust --state ../.blindsight --url {plain.url}")
    assert "\nEncrypted: cape:" in plain.done(command, CAPE_LOCAL_CONFIG_DIR=account)


def other_root(folder: Path) -> Path:
    """In the place of AWS's root, which stands behind none of the stack's evidence either."""
    root = load_or_create_root(folder / "another enclave", datetime.now(UTC))
    file = folder / "genuine.pem"
    file.write_bytes(root.certificate.public_bytes(Encoding.PEM))
    return file


def test_the_published_client_itself_is_told_by_our_cape(plain: Clone, clone: Clone) -> None:
    """`pycape.experimental.cli` shows what the `cape` command says; so does its user."""
    (clone.folder / "tiny").mkdir()
    (clone.folder / "tiny" / "app.py").write_text("def cape_handler(content):\n    return content\n")
    for command, remedy in (
        ("cape deploy ../tiny", "`blindsight with-local-trust cape …`"),
        ("cape encrypt x --username local", "`blindsight with-local-trust cape …`"),
        ("python deploy.py ../tiny", "deploy.py ../tiny"),
    ):
        done = plain.run(command)
        assert done.returncode == 1
        last = done.stdout.splitlines()[-1]
        assert "with-local-trust" in last, done.stdout
        assert last.endswith(remedy)
        assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("script", "changes", "said"),
    [
        ("run_prediction.py ../photo.png", {"CAPE_ENCLAVE_HOST": ""}, "CAPE_ENCLAVE_HOST is not set"),
        ("run_prediction.py ../photo.png", {"TOKEN": ""}, "TOKEN is not set"),
        ("run_encrypt.py ../photo.png", {"FUNCTION_ID": ""}, "FUNCTION_ID is not set"),
        ("run_prediction.py absent.jpeg", {}, "there is no photo at absent.jpeg"),
        ("run_prediction.py ../photo.png", {"CAPE_ENCLAVE_HOST": "https://localhost:1"}, "cannot be reached"),
        ("encrypt_for_user.py local", {"CAPE_ENCLAVE_HOST": "https://localhost:1"}, "cannot be reached"),
    ],
)
def test_what_else_is_forgotten_is_named(
    script: str, changes: dict[str, str], said: str, *, trusting: Clone, photo: Path, account: str
) -> None:
    done = trusting.run(f"python {script}", **{**exported(trusting), "CAPE_LOCAL_CONFIG_DIR": account, **changes})
    assert done.returncode == 1
    error, following = done.stdout.splitlines()[-2:]
    assert error.startswith("error: ")
    assert said in error
    assert following.startswith("next:  ")
    assert "Traceback" not in done.stdout


def test_pycape_and_its_packages_are_those_that_requirements_name() -> None:
    """`pip install -r requirements.txt` finds nothing to do in the environment that the suite uses."""
    wanted = (EXAMPLES / "requirements.txt").read_text(encoding="utf-8").split()
    assert wanted == ["numpy", "pillow", "pycape==3.1.1"]
    assert (pycape_packages() / "pycape-3.1.1.dist-info").exists()
