"""cape-js itself, built and run as docs/cape-compatibility.md says, against the host under local trust."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blindsight_cli.local_trust import environment
from tests.support.conformance_table import PAGE
from tests.support.documented import commands_of

if TYPE_CHECKING:
    from tests.support.cape_host import CapeHost, Deployed, Person

SECTION = PAGE.read_text(encoding="utf-8").partition("\n## cape-js\n")[2].partition("\n## ")[0]
BUILD_SECONDS = 500
RUN_SECONDS = 60


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    return [command.typed for command in commands_of("docs/cape-compatibility.md", "cape-js")]


@pytest.fixture(scope="module")
def cape_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cape-js's source with its packages built: those of a checkout, or by the page's commands in a copy of it."""
    named = os.environ.get("BLINDSIGHT_CAPE_JS")
    if not named:
        pytest.skip("cape-js is not on npm: name a checkout of github.com/capeprivacy/cape-js in BLINDSIGHT_CAPE_JS")
    if shutil.which("node") is None:
        pytest.skip("no Node")
    source = Path(named)
    if (source / "packages" / "cape" / "dist" / "index.js").exists():
        return source
    folder = tmp_path_factory.mktemp("cape-js") / "cape-js"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".git", "node_modules", "dist"))
    clone, *build = commands()[:4]
    assert clone.startswith("git clone ")
    for command in build:
        subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True, timeout=BUILD_SECONDS)
    return folder


@pytest.fixture
def script(cape_js: Path) -> Path:
    file = cape_js / "script.mjs"
    file.write_text(blocks("js")[0], encoding="utf-8")
    return file


def run(script: Path, command: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=script.parent, env=variables, capture_output=True, text=True, check=False,
        timeout=RUN_SECONDS,
    )  # fmt: skip


EXPECTED = ["one", "two", "three", "[ 'four', 'five' ]"]


@pytest.mark.timeout(BUILD_SECONDS + 100)
def test_it_runs_connects_invokes_and_encrypts(script: Path, ada: Person, echo: Deployed) -> None:
    variables = ada.variables(FUNCTION_ID=echo.id, TOKEN=ada.token())
    command = commands()[4]
    assert command == "blindsight with-local-trust node script.mjs local"
    # The test's environment is that of `with-local-trust`, for a stack on ports of its own.
    done = run(script, "node script.mjs ada", variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == EXPECTED
    assert done.stderr.count("LOCAL TRUST") == 1


def test_the_recipe_as_it_is_printed(script: Path, cape_host: CapeHost, ada: Person, echo: Deployed) -> None:
    (script.parent / "cape-js.cjs").write_text(blocks("js")[1], encoding="utf-8")
    kept = ("NODE_OPTIONS", environment.ROOT_VARIABLE, "NODE_EXTRA_CA_CERTS")
    told = {name: value for name, value in ada.variables().items() if name not in kept}
    variables = {**told, "STATE": str(cape_host.state), "FUNCTION_ID": echo.id, "TOKEN": ada.token()}
    export, node = (command.replace(" local", " ada") for command in commands()[5:])
    done = run(script, f"{export} && {node}", variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == EXPECTED
    without = run(script, f"{export} && node script.mjs ada", variables)
    assert (without.returncode, without.stdout) == (1, "")


def test_under_another_root_it_sends_nothing(script: Path, ada: Person, echo: Deployed, tmp_path: Path) -> None:
    """What the page's table says that cape-js says."""
    genuine = ada.host.state / "tls" / "simulated_root.zip"
    other = tmp_path / "other.zip"
    import zipfile

    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("root.pem", ada.host.ca.read_bytes())
    assert genuine.exists()
    variables = ada.variables(
        FUNCTION_ID=echo.id, TOKEN=ada.token(), **{environment.ROOT_VARIABLE: str(other.with_suffix(".pem"))}
    )
    done = run(script, "node script.mjs ada", variables)
    assert (done.returncode, done.stdout) == (1, "")
    said = "Error validating certificate chain 97 No valid certificate paths found."
    assert said in done.stderr
    assert said in PAGE.read_text(encoding="utf-8")


def test_the_page_prints_the_module_that_local_trust_loads() -> None:
    assert blocks("js")[1] == (environment.HOOK / "cape-js.cjs").read_text(encoding="utf-8")
