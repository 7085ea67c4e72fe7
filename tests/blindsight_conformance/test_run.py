"""The suite's command and protocol: what a foreign verifier is asked, and what becomes of its answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from blindsight_conformance import manifest, protocol, runner, table
from blindsight_conformance.verifiers import FOREIGNS, Verifier

ROOT = Path(__file__).parents[2]
CASES = {case.id: case for case in manifest.load()}
ROOTS = manifest.roots()
GOOD, HOSTILE = CASES["accepted/indefinite-outer-map"], CASES["chain/signature-zeros"]

ANSWERING = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"id": asked["id"], **(%s)}), flush=True)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "blindsight_conformance", "run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=150)


def written(tmp_path: Path, answer: str) -> str:
    script = tmp_path / "verifier.py"
    script.write_text(ANSWERING % answer)
    return f"{sys.executable} {script}"


def test_a_verifier_that_accepts_everything_is_told_what_it_lets_through(tmp_path: Path) -> None:
    done = run("--exec", written(tmp_path, '{"accepted": True}'))
    assert done.returncode == 1
    assert "chain/signature-zeros: accepts; expected" in done.stdout
    assert "accepted/indefinite-outer-map" not in done.stdout
    # Cases of this project's own policies are not asked.
    assert "claims/" not in done.stdout


def test_what_a_verifier_cannot_be_asked_does_not_count(tmp_path: Path) -> None:
    done = run("--exec", written(tmp_path, '{"unsupported": "everything"}'))
    assert done.returncode == 0
    assert "0 disagreements" in done.stdout


def test_a_verifier_that_ends_is_started_again_after_the_question(tmp_path: Path) -> None:
    script = tmp_path / "verifier.py"
    script.write_text(ANSWERING % '{"accepted": True} if asked["id"].startswith("accepted") else sys.exit(1)')
    cases = [GOOD, HOSTILE, CASES["accepted/definite-outer-map"]]
    result = runner.run(Verifier("it", (sys.executable, str(script))), cases, ROOTS)
    assert list(result.outcomes.values()) == ["agrees", "crashes", "agrees"]
    assert result.disagreements == [HOSTILE.id]
    assert f"it: {HOSTILE.id}: crashes" in table.disagreements(cases, [result])


def test_another_code_is_a_disagreement_where_codes_are_compared(tmp_path: Path) -> None:
    script = tmp_path / "verifier.py"
    script.write_text(ANSWERING % '{"accepted": False, "code": "invalid_chain", "step": 4}')
    command = (sys.executable, str(script))
    for codes, outcome in ((False, "agrees"), (True, "otherwise")):
        result = runner.run(Verifier("it", command, codes=codes), [HOSTILE], ROOTS)
        assert result.outcomes == {HOSTILE.id: outcome}
    assert runner.run(Verifier("it", command), [GOOD], ROOTS).outcomes == {GOOD.id: "refuses"}


@pytest.mark.parametrize(("case", "status"), [(GOOD, 0), (HOSTILE, 10)], ids=["accepted", "refused"])
def test_one_question_a_process(case: object, status: int) -> None:
    question = json.dumps(protocol.question(case, ROOTS)) + "\n"
    command = [sys.executable, "-m", "blindsight_conformance.drivers.ours", "--one"]
    done = subprocess.run(command, cwd=ROOT, input=question, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    assert json.loads(done.stdout)["id"] == case.id


def test_what_a_question_says() -> None:
    asked = protocol.question(GOOD, ROOTS)
    (root,) = asked["roots"]
    assert root["der"] == ROOTS[root["sha256"]]
    assert asked["pcrs"].keys() == {"0", "1", "2"}
    assert (asked["nonce"], asked["time"], asked["mode"]) == (bytes(range(32)).hex(), "2026-11-01T12:00:00Z", "live")


def test_every_foreign_verifier_has_a_driver_and_a_table() -> None:
    folder = ROOT / "blindsight_conformance" / "drivers" / "foreign"
    page = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    for foreign in FOREIGNS:
        assert any((folder / f"{foreign.name}{kind}").exists() for kind in (".py", ".mjs"))
        assert f"| {foreign.package} {foreign.version} |" in page
