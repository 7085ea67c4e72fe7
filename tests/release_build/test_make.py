"""Two releases of one source tree, in other folders, by other users, under other clocks: the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blindsight import release_file
from blindsight.release_file import check
from enclave_function.bundle import build
from release_build import policy
from tests.support import ordinary_user
from tests.support.built_images import built

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.models import TinyModel

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("blindsight", "blindsight_cli", "enclave_function", "enclave_runtime", "release_build", "gateway/static/app",
         "requirements", "pyproject.toml", "README.md", "LICENSE", ".gitignore",
         "clients/js/package-lock.json", "clients/js/dist/THIRD-PARTY.txt", "enclave_image/packages.lock")  # fmt: skip
ROOT = "ab" * 32


def source_tree(folder: Path) -> Path:
    """A copy of what a release is made of."""
    for part in PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / part).is_dir():
            shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(REPOSITORY / part, folder / part)
    return folder


def make(tree: Path, out: Path, *more: str, command: list[str] | None = None, **environment: str) -> None:
    arguments = ["-B", "-m", "release_build", "make", "--out", str(out), *more]
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    done = subprocess.run(
        [*(command or [sys.executable]), *arguments],
        cwd=tree, env=kept | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def model(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(colour_model.folder, tmp_path_factory.mktemp("model") / "model"))


@pytest.fixture(scope="module")
def image(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An enclave image whose description says that it holds the model's bundle."""
    folder = tmp_path_factory.mktemp("image")
    return built(folder, build(model, folder / "function.zip").checksum)


@pytest.fixture(scope="module")
def made(model: Path, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of this source tree."""
    folder = tmp_path_factory.mktemp("made")
    out = folder / "out"
    make(REPOSITORY, out, "--model", str(model), "--eif", str(image), "--simulated-root", ROOT, HOME=str(folder))
    return out


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that all users can enter: pytest keeps its own from them."""
    with tempfile.TemporaryDirectory(prefix="blindsight-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_two_releases_have_the_same_bytes(made: Path, model: Path, image: Path, public_folder: Path) -> None:
    tree = source_tree(public_folder / "elsewhere" / "source")
    same_model = Path(shutil.copytree(model, public_folder / "same"))
    same_image = Path(shutil.copytree(image.parent, public_folder / "image")) / image.name
    for folder in (same_model, same_image.parent):
        folder.chmod(0o755)
    for path in tree.rglob("*"):
        if path.is_file():
            path.chmod(0o755 if path.suffix == ".py" else 0o644)
            os.utime(path, (1_900_000_000, 1_900_000_000))
    work = public_folder / "work"
    work.mkdir()
    command = ["/bin/sh", "-c", 'umask 077; exec "$@"', "sh", sys.executable]
    if ordinary_user.unavailable() is None:
        os.chown(work, ordinary_user.USER, ordinary_user.USER)
        command = [*ordinary_user.command()[:-1], *command]
    inputs = ("--model", str(same_model), "--eif", str(same_image), "--simulated-root", ROOT)
    make(tree, work / "out", *inputs, command=command, HOME="/nonexistent", TZ="Pacific/Kiritimati",
         SOURCE_DATE_EPOCH="1900000000", LC_ALL="C", PYTHONHASHSEED="7", TMPDIR=str(work),
         PIP_INDEX_URL="http://127.0.0.1:9/")  # fmt: skip
    if ordinary_user.unavailable() is None:
        assert (work / "out" / "release.json").stat().st_uid == ordinary_user.USER
    assert contents(work / "out") == contents(made)


def test_a_changed_label_changes_function_and_pcr_16_alone(made: Path, model: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(model, tmp_path / "model"))
    manifest = json.loads((changed / "model.json").read_bytes())
    labels = changed / manifest["labels"]["file"]
    labels.write_bytes(labels.read_bytes().replace(b"a", b"b", 1))
    manifest["labels"]["sha256"] = hashlib.sha256(labels.read_bytes()).hexdigest()
    (changed / "model.json").write_text(json.dumps(manifest))
    make(REPOSITORY, tmp_path / "out", "--model", str(changed), "--simulated-root", ROOT, HOME=str(tmp_path))
    before, after = (release_file.load(folder / "release.json") for folder in (made, tmp_path / "out"))
    differing = {name for name, digest in contents(tmp_path / "out").items() if contents(made)[name] != digest}
    assert differing == {"function.zip", "release.json"}
    simulated = [each for each in before.measurements if each.kind == "simulated"]
    for old, new in zip(simulated, after.measurements, strict=True):
        assert {index for index in old.pcrs if old.pcrs[index] != new.pcrs[index]} == {16}


def test_the_release_file_names_everything_that_was_made(made: Path) -> None:
    release = release_file.load(made / "release.json")
    assert {subject.name for subject in release.subjects} | {"release.json"} == set(contents(made))
    for subject in release.subjects:
        assert check.artifact(release, made / subject.name) == subject
    check.bundle(release, made / "function.zip")
    sums = (REPOSITORY / "gateway/static/app/SHA256SUMS").read_text(encoding="utf-8").split()
    assert {name: digest for name, digest in release.page.items() if name != "SHA256SUMS"} == dict(
        zip(sums[1::2], sums[::2], strict=True)
    )
    assert {measurement.variant for measurement in release.measurements} == {"cape", "classifier"}
    assert check.image(release, made / "signed.eif").kernel


def test_its_policy_is_that_of_the_runtime(made: Path, tmp_path: Path) -> None:
    """What `python -m enclave_runtime policy` accepts, the release's policy accepts, under the root that was given."""
    command = [
        sys.executable,
        "-m",
        "enclave_runtime",
        "policy",
        "--bundle",
        str(made / "function.zip"),
        "--state",
        "state",
    ]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (expected,) = json.loads(printed)["releases"]
    embedded = release_file.load(made / "release.json").policy
    assert embedded is not None
    accepted = next(each for each in json.loads(embedded.to_json())["releases"] if each["kind"] == "simulated")
    assert {name: accepted[name] for name in ("pcrs", "function_checksums", "model_digests", "version")} == {
        name: expected[name] for name in ("pcrs", "function_checksums", "model_digests", "version")
    }
    assert accepted["roots"] == [ROOT]


def test_without_a_root_no_simulated_enclave_is_accepted(made: Path) -> None:
    release = release_file.load(made / "release.json")
    assert release.policy is not None
    assert policy.accepting(release.functions, release.measurements, simulated_root=ROOT) == release.policy
    assert {accepted.kind for accepted in release.policy.releases} == {"nitro", "simulated"}
    simulated = [each for each in release.measurements if each.kind == "simulated"]
    assert policy.accepting(release.functions, simulated) is None


def test_the_wheel_depends_on_no_compression(made: Path) -> None:
    release = release_file.load(made / "release.json")
    with zipfile.ZipFile(made / release.wheel) as wheel:
        infos = wheel.infolist()
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
    assert len({(info.date_time, info.external_attr, info.create_system) for info in infos}) == 1
    assert infos[-1].filename.endswith(".dist-info/RECORD")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--bundle", "nothing.zip"], "cannot be copied"),
        (["--model", "nothing"], "cannot be read"),
        (["--bundle", "one/f.zip", "--bundle", "two/f.zip"], "Two bundles"),
        (["--bundle", "one/f.zip", "--out", "one"], "is not empty"),
        (["--bundle", "one/f.zip", "--simulated-root", "xyz"], ""),
    ],
)
def test_what_cannot_be_made_is_said_in_two_lines(tmp_path: Path, arguments: list[str], expected: str) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.zip").write_bytes(b"")
    command = [sys.executable, "-m", "release_build", "make", "--out", "out", *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    first, second = done.stderr.strip().splitlines()
    assert first.startswith("error:")
    assert expected in first
    assert second.startswith("next:")
