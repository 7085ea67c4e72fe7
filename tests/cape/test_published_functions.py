"""Functions that Cape published, written anew from their descriptions.

They are deployed with `cape deploy` and run by another account. Their owner is `capedocs`, as it was, so that what is
typed is the READMEs' own `cape run capedocs/…`.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.cape_host import FUNCTIONS, pycape_packages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.cape_host import Person

INVOKE_ALL = """
    cape = Cape()
    with cape.function_context(cape.function(given["function"]), cape.token(given["token"])):
        answer([cape.invoke(each.encode()).decode() for each in given["inputs"]])
"""


@pytest.fixture(scope="module")
def capedocs(sign_up: Callable[[str], Person]) -> Person:
    return sign_up("capedocs")


@pytest.fixture
def publish(capedocs: Person) -> Callable[..., str]:
    """Deploys a folder as Cape's READMEs do, for every account to run; the name that the command prints."""

    def publish(folder: Path, name: str) -> str:
        printed = capedocs.cape("deploy", str(folder), "--name", name, "--public").text
        found = re.search(r"^Function Name     ➜  (\S+)$", printed, re.MULTILINE)
        assert found is not None
        assert found[1] == f"capedocs/{name}"
        return found[1]

    return publish


@pytest.fixture
def invoke(pycape: Callable[..., Any], ada: Person) -> Callable[..., list[str]]:
    """All inputs on one connection of pycape's."""

    def invoke(function: str, *inputs: str) -> list[str]:
        found = pycape(INVOKE_ALL, function=function, token=ada.token(), inputs=inputs)
        assert isinstance(found, list)
        return found

    return invoke


def test_echo(publish: Callable[..., str], ada: Person, tmp_path: Path) -> None:
    (tmp_path / "input.echo.data").write_text("Hello, World!\n")
    publish(FUNCTIONS / "echo", "echo")
    run = ada.cape("run", "capedocs/echo", "-f", str(tmp_path / "input.echo.data"))
    assert run.text == "Hello, World!\n\n"


def test_isprime(publish: Callable[..., str], ada: Person, invoke: Callable[..., list[str]]) -> None:
    name = publish(FUNCTIONS / "isprime", "isprime")
    assert ada.cape("run", "capedocs/isprime", "13").text == "13 is prime\n"
    answers = invoke(name, "7\n", "8", "4", "9", "1")
    assert answers == ["7 is prime", "8 is not prime", "4 is prime", "9 is prime", "1 is not prime"]


def test_mortgage(publish: Callable[..., str], ada: Person, tmp_path: Path) -> None:
    publish(FUNCTIONS / "mortgage", "mortgage")
    good = {"salary": 80_000, "amount": 500_000, "down": 50_000}
    for applicant, answer in (
        (good, "Congratulations! You qualify for a mortgage."),
        (good | {"down": 5_000}, "You do not qualify for a mortgage."),
        (good | {"down": 500_000}, "You do not need a mortgage."),
    ):
        file = tmp_path / "input.mortgage.json"
        file.write_text(json.dumps(applicant))
        assert ada.cape("run", "capedocs/mortgage", "-f", str(file)).text == f"{answer}\n"


def test_hide_and_seek(
    publish: Callable[..., str], invoke: Callable[..., list[str]], vendored: Callable[..., Path]
) -> None:
    if not (pycape_packages() / "geopy").exists():
        pytest.skip("no geopy in pycape's environment")
    name = publish(vendored("hide_and_seek", "geopy", "geographiclib"), "hide_and_seek")
    hidden, near, far = (json.dumps({"latitude": place, "longitude": 8.54}) for place in (47.37, 47.38, 48.0))
    for _ in range(2):  # A second connection finds nothing of the first's.
        nothing, far_off, closer, found = invoke(name, hidden, far, near, hidden)
        assert (nothing, far_off, found) == ("None", "Not even close!", "Congrats, you found it!")
        assert closer == "Getting closer! still 1112 meters away"


def test_np_stats(
    publish: Callable[..., str], pycape: Callable[..., Any], ada: Person, vendored: Callable[..., Path]
) -> None:
    folder = vendored("np_stats", "serdio", "msgpack", "numpy", "numpy.libs")
    name = publish(folder, "np-stats")
    script = """
        import numpy as np
        sys.path.insert(0, given["folder"])
        from numpy_serde import decoder, encoder
        cape = Cape()
        function, token = cape.function(given["function"]), cape.token(given["token"])
        array = np.array([1, 2, 3, 4])
        answer(cape.run(function, token, array, serde_hooks=(encoder, decoder), use_serdio=True).tolist())
    """
    # Of the folder, only the hooks are wanted here: the packages of the caller are its own.
    hooks = ada.home / "hooks"
    hooks.mkdir(exist_ok=True)
    shutil.copy(folder / "numpy_serde.py", hooks)
    assert pycape(script, function=name, token=ada.token(), folder=str(hooks)) == [2.0, 3.0, 4.0, 5.0]


def test_secure_search(
    publish: Callable[..., str], pycape: Callable[..., Any], ada: Person, vendored: Callable[..., Path]
) -> None:
    folder = vendored("secure_search", "hybrid_pke")
    private, public = pycape(
        "import hybrid_pke; answer([key.hex() for key in hybrid_pke.default().generate_key_pair()])"
    )
    (folder / "public_keyset.bin").write_bytes(bytes.fromhex(public))
    name = publish(folder, "secure-search")
    log = [{"protocol": "tcp", "hosts": "1.2.3.4:29092<>172.19.0.4:29092"}, {"protocol": "tcp", "hosts": "5.6.7.8:1"}]
    sealed, opened = pycape(
        """
        import hybrid_pke
        cape = Cape()
        sealed = cape.run(cape.function(given["function"]), cape.token(given["token"]), given["log"].encode())
        opened = hybrid_pke.default().open(sealed[:32], bytes.fromhex(given["private"]), b"", b"", sealed[32:])
        answer([sealed.hex(), opened.decode()])
        """,
        function=name, token=ada.token(), log=json.dumps(log), private=private,
    )  # fmt: skip
    assert b"1.2.3.4" not in bytes.fromhex(sealed)
    assert json.loads(opened) == [{"172.19.0.4": True, "1.2.3.4": True}, {"172.19.0.4": False, "1.2.3.4": False}]


def test_leader_election(publish: Callable[..., str], ada: Person, vendored: Callable[..., Path]) -> None:
    folder = vendored("leader_election", "cryptography", "cffi")
    (binding,) = pycape_packages().glob("_cffi_backend.*")
    shutil.copy(binding, folder)
    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "private.pem").write_bytes(pem)
    name = publish(folder, "leader-election")
    elected = ada.cape("run", name, json.dumps({"node_list": [5000, 5002, 5001]})).json
    assert elected["message"] == "5002"
    key.public_key().verify(bytes.fromhex(elected["signature"]), b"5002", PKCS1v15(), SHA256())
    said = ada.cape("run", name, "{}", status=1).err
    assert "function raised ValueError" in said


def test_batch_training(publish: Callable[..., str], invoke: Callable[..., list[str]]) -> None:
    name = publish(FUNCTIONS / "batch_training", "batch-training")
    rows = [[x / 10, y / 10] for x in range(-10, 11, 2) for y in range(-10, 11, 2)]
    batch = json.dumps({"rows": rows, "Class": [int(x + 2 * y > 0.5) for x, y in rows]})
    first, second, third = (ast.literal_eval(model) for model in invoke(name, batch, batch, batch))
    # Each batch goes on from the weights of the one before, in a file; another connection begins anew.
    assert first["weights"][1] < second["weights"][1] < third["weights"][1]
    assert first["accuracy"] <= third["accuracy"]
    assert third["accuracy"] > 0.95
    assert ast.literal_eval(invoke(name, batch)[0]) == first


def test_echo_as_published_with_pycape(publish: Callable[..., str], invoke: Callable[..., list[str]]) -> None:
    name = publish(pycape_packages() / "examples" / "echo", "published-echo")
    assert invoke(name, "Hello, World!\n") == ["Hello, World!\n"]


def test_mean_as_published_with_pycape(
    publish: Callable[..., str], pycape: Callable[..., Any], ada: Person, tmp_path: Path
) -> None:
    folder = shutil.copytree(pycape_packages() / "examples" / "mean", tmp_path / "mean")
    for package in ("serdio", "msgpack"):
        shutil.copytree(pycape_packages() / package, folder / package)
    name = publish(folder, "published-mean")
    script = """
        cape = Cape()
        function, token = cape.function(given["function"]), cape.token(given["token"])
        answer(cape.run(function, token, [1, 2, 3, 4], use_serdio=True))
    """
    assert pycape(script, function=name, token=ada.token()) == 2.5


def test_what_is_private_to_capedocs_no_one_else_runs(capedocs: Person, ada: Person) -> None:
    capedocs.cape("deploy", str(FUNCTIONS / "echo"), "--name", "private-echo")
    assert "Error: " in ada.cape("run", "capedocs/private-echo", "x", status=1).err
    assert capedocs.cape("run", "capedocs/private-echo", "x").text == "x\n"
