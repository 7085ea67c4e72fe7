"""Functions of the kind that Cape published run as they did."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cape_host import FUNCTIONS, pycape_packages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.cape_host import Deployed, Person

INVOKE_ALL = """
    cape = Cape()
    with cape.function_context(given["function"], given["token"]):
        answer([cape.invoke(each.encode()).decode() for each in given["inputs"]])
"""


@pytest.fixture
def invoke(pycape: Callable[..., Any], ada: Person) -> Callable[..., list[str]]:
    """All inputs on one connection."""

    def invoke(function: Deployed, *inputs: str) -> list[str]:
        found = pycape(INVOKE_ALL, function=function.id, token=ada.token(), inputs=inputs)
        assert isinstance(found, list)
        return found

    return invoke


def test_echo_as_published_with_pycape(invoke: Callable[..., list[str]], ada: Person) -> None:
    function = ada.deploy(pycape_packages() / "examples" / "echo", "published-echo")
    assert invoke(function, "Hello, World!\n") == ["Hello, World!\n"]


def test_mean_as_published_with_pycape(pycape: Callable[..., Any], ada: Person, tmp_path: Path) -> None:
    folder = shutil.copytree(pycape_packages() / "examples" / "mean", tmp_path / "mean")
    for package in ("serdio", "msgpack"):
        shutil.copytree(pycape_packages() / package, folder / package)
    function = ada.deploy(folder)
    script = 'answer(Cape().run(given["function"], given["token"], [1, 2, 3, 4], use_serdio=True))'
    assert pycape(script, function=function.id, token=ada.token()) == 2.5


def test_isprime(invoke: Callable[..., list[str]], ada: Person) -> None:
    function = ada.deploy(FUNCTIONS / "isprime")
    answers = invoke(function, "7\n", "8", "4", "9", "1")
    assert answers == ["7 is prime", "8 is not prime", "4 is prime", "9 is prime", "1 is not prime"]


def test_mortgage(invoke: Callable[..., list[str]], ada: Person) -> None:
    function = ada.deploy(FUNCTIONS / "mortgage")
    good = {"monthly_income": 5000, "monthly_debts": 1500, "credit_score": 700}
    answers = invoke(function, json.dumps(good), json.dumps(good | {"monthly_debts": 4000}))
    assert answers == [
        "Congratulations! You qualify for a mortgage.",
        "Sorry! You do not qualify for a mortgage.",
    ]


def test_hide_and_seek(invoke: Callable[..., list[str]], ada: Person, vendored: Callable[..., Path]) -> None:
    if not (pycape_packages() / "geopy").exists():
        pytest.skip("no geopy in pycape's environment")
    function = ada.deploy(vendored("hide_and_seek", "geopy", "geographiclib"))
    hidden, near, far = (json.dumps({"lat": lat, "lon": 8.54}) for lat in (47.37, 47.38, 48.0))
    for _ in range(2):  # A second connection finds nothing of the first's.
        nothing, far_off, closer, found = invoke(function, hidden, far, near, hidden)
        assert (nothing, far_off, found) == ("None", "Not even close!", "Congrats, you found it!")
        assert closer == "Getting closer! still 1112 meters away"
