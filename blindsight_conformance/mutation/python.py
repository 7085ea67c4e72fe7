"""Mutants of the verifier in Python: `FOLDER/bin/python -m blindsight_conformance.mutation.python`, with mutmut in it.

mutmut puts all mutants of a function beside it and chooses one at each call. Each is tried in a process of its own,
forked from this one, on the cases that call its function; what survives those is tried on the unit tests.
"""

from __future__ import annotations

import ast
import json
import os
import re
import resource
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from blindsight_conformance.mutation import excluded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blindsight_conformance.book import Case

    Judge: TypeAlias = tuple[str, Callable[[], None]]

ROOT = Path(__file__).parents[2]
MUTANTS = ROOT / ".venv-mutants" / "python"
MODULES = (
    "attestation/chain", "attestation/claims", "attestation/cose", "attestation/document", "attestation/emulated",
    "attestation/matching", "attestation/policy", "attestation/policy_file", "attestation/proof", "attestation/release",
    "attestation/steps", "attestation/verifier", "cbor",
)  # fmt: skip
UNIT_TESTS = "tests/blindsight/attestation"
FAST = (
    "test_steps",
    "test_report",
    "test_policy_ends",
    "test_policy",
    "test_emulated",
    "test_claims",
    "test_shapes",
    "test_verdicts",
    "../test_cbor",
)
SECONDS = 30
"""Processor seconds for each mutant."""
WORKERS = 2


def main(only: Sequence[str] = ()) -> int:
    """Make and run mutants: all, or those of functions whose names begin with one of `only`.

    Returns 1 if a mutant survives that is not excluded, or if all were run and an exclusion was not used.
    """
    found = {name: is_text for name, is_text in _made().items() if not only or name.startswith(tuple(only))}
    sys.path.insert(0, str(MUTANTS))
    judges = _judges()
    hits = _hits(judges)
    outcomes: dict[str, str] = {}
    used: set[object] = set()
    todo = []
    for name, is_text in found.items():
        if is_text:
            outcomes[name] = "text"
        elif (entry := excluded.entry(_function(name), "")) is not None:
            outcomes[name] = "excluded"
            used.add(entry)
        elif not hits.get(_function(name)):
            outcomes[name] = "survived"
        else:
            todo.append(name)
    with ThreadPoolExecutor(WORKERS) as pool:
        for number, (name, outcome) in enumerate(
            zip(todo, pool.map(lambda name: _tried(name, judges, hits), todo), strict=True), start=1
        ):
            outcomes[name] = outcome
            if number % 100 == 0:
                print(f"{number} of {len(todo)}", file=sys.stderr)
    left = [name for name, outcome in outcomes.items() if outcome == "survived"]
    print(f"{len(left)} survive the cases", file=sys.stderr)
    with ThreadPoolExecutor(WORKERS) as pool:
        outcomes |= zip(left, pool.map(_unit_tested, left), strict=True)
    for name, outcome in outcomes.items():
        if outcome == "survived" and (entry := excluded.entry(_function(name), _added(name))) is not None:
            outcomes[name] = "excluded"
            used.add(entry)
    survived = [name for name, outcome in outcomes.items() if outcome == "survived"]
    counts = {outcome: list(outcomes.values()).count(outcome) for outcome in sorted(set(outcomes.values()))}
    print(f"{len(outcomes)} mutants: {counts}")
    for name in survived:
        print(_difference(name))
    stale = [] if only else excluded.stale(used)
    for each in stale:
        print(f"excluded, and not found any more: {each}")
    return 1 if survived or stale else 0


def _made() -> dict[str, bool]:
    """The mutants: name to whether only texts change."""
    from mutmut.mutation.file_mutation import mutate_file_contents  # noqa: PLC0415 -- only in mutmut's environment

    from blindsight_conformance.mutation.texts import only_texts  # noqa: PLC0415 -- before the path is changed

    shutil.rmtree(MUTANTS, ignore_errors=True)
    for name in ("blindsight", "blindsight_conformance"):
        shutil.copytree(ROOT / name, MUTANTS / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("vectors", "tests"):
        (MUTANTS / name).symlink_to(ROOT / name)
    # mutmut reads its settings from the folder that it is started in.
    (MUTANTS / "pyproject.toml").write_text('[tool.mutmut]\nsource_paths = ["blindsight"]\n', "utf-8")
    os.chdir(MUTANTS)
    found = {}
    for name in MODULES:
        path = MUTANTS / "blindsight" / f"{name}.py"
        made = mutate_file_contents(str(path), path.read_text("utf-8"))
        path.write_text(made.code, "utf-8")
        functions = {node.name: node for node in ast.walk(ast.parse(made.code)) if isinstance(node, ast.FunctionDef)}
        for mutant in made.mutant_names:
            original = functions[re.sub(r"__mutmut_\d+$", "__mutmut_orig", mutant)]
            found[f"blindsight.{name.replace('/', '.')}.{mutant}"] = only_texts(original, functions[mutant])
    return found


def _judges() -> list[Judge]:
    """A name and a function for each case, which raises unless the verdict is the expected one."""
    from blindsight_conformance import manifest, protocol  # noqa: PLC0415 -- the mutated ones
    from blindsight_conformance.drivers import ours  # noqa: PLC0415 -- likewise
    from blindsight_conformance.mutation.policies import judge_policy  # noqa: PLC0415 -- likewise

    roots = manifest.roots(ROOT / "vectors" / "attestation")
    cases = manifest.load(ROOT / "vectors" / "attestation")

    def judge(case: Case) -> None:
        answer = ours.judge(protocol.question(case, roots))
        answer.pop("reason", None)
        details = {name: value for name, value in case.expected.items() if name != "result"}
        if answer != {"accepted": case.expected["result"] == "accepted", **details}:
            raise AssertionError(case.id)

    # The most different cases first.
    seen: dict[str, int] = {}
    order = []
    for case in cases:
        kind = str(case.expected.get("code", "accepted"))
        seen[kind] = seen.get(kind, 0) + 1
        order.append((seen[kind], case))
    order.sort(key=lambda pair: pair[0])
    made: list[Judge] = [(case.id, partial(judge, case)) for _, case in order]
    policies = json.loads((ROOT / "tests" / "vectors" / "policy.json").read_text("utf-8"))["cases"]
    return [*made, *((each["name"], partial(judge_policy, each)) for each in policies)]


def _hits(judges: list[Judge]) -> dict[str, list[int]]:
    """Function to the indexes of the cases that call it."""
    from mutmut.mutation import trampoline  # noqa: PLC0415 -- likewise

    called: set[str] = set()
    trampoline.record_trampoline_hit = lambda name, **_: called.add(name)
    os.environ["MUTANT_UNDER_TEST"] = "stats"
    hits: dict[str, list[int]] = {}
    for number, (_, judge) in enumerate(judges):
        called.clear()
        judge()
        for name in called:
            hits.setdefault(name, []).append(number)
    del os.environ["MUTANT_UNDER_TEST"]
    return hits


def _function(mutant: str) -> str:
    return re.sub(r"__mutmut_\d+$", "", mutant)


def _tried(name: str, judges: list[Judge], hits: dict[str, list[int]]) -> str:
    pid = os.fork()
    if not pid:
        os.environ["MUTANT_UNDER_TEST"] = name
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        try:
            for number in hits[_function(name)]:
                judges[number][1]()
        except BaseException:  # noqa: BLE001 -- whatever a mutant raises
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return "survived" if status == 0 else "timed out" if os.WIFSIGNALED(status) else "killed"


def _unit_tested(name: str) -> str:
    """As `_tried`, with the unit tests."""
    import pytest  # noqa: PLC0415 -- the one beside mutmut

    pid = os.fork()
    if not pid:
        os.environ["MUTANT_UNDER_TEST"] = name
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        tests = [str(ROOT / UNIT_TESTS / f"{test}.py") for test in FAST]
        options = [
            "-q",
            "-x",
            "--import-mode=importlib",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            f"--rootdir={ROOT}",
        ]
        try:
            failed = pytest.main([*options, *tests]) != 0
        except BaseException:  # noqa: BLE001 -- whatever a mutant raises
            failed = True
        os._exit(int(failed))
    return "killed" if os.waitpid(pid, 0)[1] else "survived"


def _added(name: str) -> str:
    """The changed lines of a mutant."""
    return "\n".join(line[1:] for line in _difference(name).splitlines() if line.startswith("+"))


def _difference(name: str) -> str:
    from mutmut.mutation.diff_apply import get_diff_for_mutant  # noqa: PLC0415 -- likewise

    module, _, mutant = name.rpartition(".")
    path = MUTANTS / f"{module.replace('.', '/')}.py"
    difference = get_diff_for_mutant(mutant, source=path.read_text("utf-8"), path=path)
    changed = [line for line in difference.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    return "\n".join([name, *(line for line in changed if "__mutmut_" not in line), ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
