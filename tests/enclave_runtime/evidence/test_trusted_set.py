"""What counts as measured code, and what does not: a byte changed anywhere, and the registers that follow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]

RUNTIME_MODULES = """
import json, sys
import enclave_runtime.commands, enclave_runtime.start, enclave_runtime.workers.worker, enclave_runtime.cape.handler
print(json.dumps({name: module.__file__ for name, module in sys.modules.items() if getattr(module, "__file__", None)}))
"""


def _python(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _registers(root: Path, variant: str = "cape") -> dict[str, str]:
    source = (
        "import json; from enclave_runtime.evidence.measure import measurements;"
        f"print(json.dumps({{index: value.hex() for index, value in measurements({variant!r}).items()}}))"
    )
    registers: dict[str, str] = json.loads(_python(root, "-c", source))
    return registers


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree as an enclave's maker has it."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("blindsight", "blindsight_cli", "enclave_runtime", "gateway", "docs"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    return root


@pytest.fixture(scope="module")
def executed(tree: Path) -> list[str]:
    """The first-party files that the runtime and its processes load, relative to the tree."""
    modules = json.loads(_python(tree, "-c", RUNTIME_MODULES))
    paths = (Path(file) for file in modules.values())
    return sorted(str(path.relative_to(tree)) for path in paths if path.is_relative_to(tree))


@pytest.mark.parametrize(
    "path",
    [
        "blindsight_cli/doctor.py",
        "blindsight_cli/cape/main.py",
        "blindsight/client/_core.py",
        "blindsight/client/cape.py",
        "blindsight/eif/layout.py",
        "blindsight/release_file/reader.py",
        "gateway/app.py",
        "gateway/static/app/app.js",
        "docs/architecture.md",
    ],
)
def test_commands_client_page_docs_and_gateway_change_no_register(tree: Path, path: str):
    before = _registers(tree)
    file = tree / path
    content = file.read_bytes()
    file.write_bytes(content + b"\n# another wording\n")
    try:
        assert _registers(tree) == before
    finally:
        file.write_bytes(content)


def test_every_first_party_file_that_runs_is_measured(tree: Path, executed: list[str]):
    source = (
        "import json; from enclave_runtime.evidence import measure;"
        "print(json.dumps(sorted(measure.application_files(measure.packages()))))"
    )
    measured = set(json.loads(_python(tree, "-c", source)))
    assert "enclave_runtime/serve.py" in executed
    assert set(executed) <= measured
    assert not [
        name
        for name in measured
        if name.startswith(
            ("blindsight/client", "blindsight/eif", "blindsight/release_file", "blindsight_cli", "gateway")
        )
    ]


@pytest.mark.parametrize("path", ["enclave_runtime/serve.py", "blindsight/receipts.py", "blindsight/__init__.py"])
def test_a_byte_of_executed_code_changes_the_registers(tree: Path, path: str):
    before = _registers(tree)
    file = tree / path
    content = file.read_bytes()
    file.write_bytes(content + b"\n")
    try:
        after = _registers(tree)
    finally:
        file.write_bytes(content)
    assert (after["0"], after["2"]) != (before["0"], before["2"])
    assert after["1"] == before["1"]


def test_the_runtime_loads_neither_client_nor_commands_nor_their_packages(tree: Path):
    modules = set(json.loads(_python(tree, "-c", RUNTIME_MODULES)))
    foreign = {"blindsight.client", "blindsight_cli", "gateway", "typer", "rich", "httpx2", "websockets", "pydantic"}
    assert not modules & foreign


def test_the_core_alone_is_enough(tree: Path, tmp_path: Path):
    """As in an enclave image: without the caller's side and without commands."""
    for name in ("blindsight", "enclave_runtime"):
        shutil.copytree(tree / name, tmp_path / name, ignore=shutil.ignore_patterns("client"))
    assert _registers(tmp_path) == _registers(tree)
    assert "blindsight.receipts" in json.loads(_python(tmp_path, "-c", RUNTIME_MODULES))


CAPES_CODE = ["blindsight/cape", "blindsight/wire/cape.py", "enclave_runtime/cape"]


def test_capes_code_is_part_of_one_variant_only(tree: Path):
    cape, classifier = _registers(tree), _registers(tree, "classifier")
    assert (cape["0"], cape["2"]) != (classifier["0"], classifier["2"])
    file = tree / "enclave_runtime" / "cape" / "session.py"
    content = file.read_bytes()
    file.write_bytes(content + b"\n")
    try:
        assert _registers(tree, "classifier") == classifier
        assert _registers(tree)["2"] != cape["2"]
    finally:
        file.write_bytes(content)


def test_the_classifier_runs_where_capes_code_is_not(tree: Path, tmp_path: Path):
    """As in the image of that variant; and it loads nothing of Cape where that lies beside it."""
    for name in ("blindsight", "enclave_runtime"):
        shutil.copytree(tree / name, tmp_path / name, ignore=shutil.ignore_patterns("client"))
    modules = (
        "import json, sys\nfrom enclave_runtime import variants\nvariants.keep_out('classifier')\n"
        "import enclave_runtime.commands, enclave_runtime.start, enclave_runtime.workers.worker\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(_python(tree, "-c", modules))
    assert not [name for name in loaded if "cape" in name]
    for path in CAPES_CODE:
        file = tmp_path / path
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink()
    assert _registers(tmp_path, "classifier") == _registers(tree, "classifier")
    assert json.loads(_python(tmp_path, "-c", modules)) == loaded


def test_capes_code_cannot_be_loaded_by_the_classifier(tree: Path):
    source = (
        "from enclave_runtime import variants\nvariants.keep_out('classifier')\n"
        "try:\n    import enclave_runtime.cape.session\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    assert "no part of this enclave" in _python(tree, "-c", source)
