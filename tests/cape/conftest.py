"""One Cape host for all conformance tests, two people with accounts, and functions of theirs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from blindsight_cli import localca
from enclave_function.bundle import build
from tests.support.cape_host import (
    FUNCTIONS,
    OFFLINE_MODEL,
    CapeHost,
    Deployed,
    Person,
    pycape_packages,
    pycape_python,
    require_pycape,
)
from tests.support.stack import running_stack
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.models import TinyModel


@pytest.fixture(scope="session")
def cape_host(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CapeHost]:
    folder = tmp_path_factory.mktemp("cape-host")
    state = folder / "cape-state"
    tls = localca.ensure(state / "tls", ["localhost", "127.0.0.1"])
    tls_port = free_port()
    settings = {"tls_port": tls_port, "tls_certificate": tls.certificate, "tls_key": tls.key}
    with running_stack(colour_model.folder, folder, workers=1, cape=True, **settings) as stack:
        (state / "enclave").symlink_to(stack.state)
        yield CapeHost(stack, state, tls_port, stack.gateway.url)


@pytest.fixture(scope="session")
def sign_up(cape_host: CapeHost, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Person]:
    def sign_up(username: str) -> Person:
        person = Person(username, cape_host, tmp_path_factory.mktemp(username), pycape_python())
        person.cape("signup", username)
        return person

    return sign_up


@pytest.fixture(scope="session")
def ada(sign_up: Callable[[str], Person]) -> Person:
    return sign_up("ada")


@pytest.fixture(scope="session")
def bob(sign_up: Callable[[str], Person]) -> Person:
    return sign_up("bob")


@pytest.fixture(scope="session")
def pycape(ada: Person) -> Callable[..., Any]:
    """Ada's pycape."""
    require_pycape()
    return ada.pycape


@pytest.fixture(scope="session")
def echo(ada: Person) -> Deployed:
    return ada.deploy(FUNCTIONS / "echo")


@pytest.fixture(scope="session")
def lab(ada: Person) -> Deployed:
    return ada.deploy(FUNCTIONS / "lab")


@pytest.fixture(scope="session")
def classifier(ada: Person, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The built-in classifier with the offline model, deployed like any account's function."""
    bundle = tmp_path_factory.mktemp("classifier") / "classifier.zip"
    build(OFFLINE_MODEL, bundle)
    return ada.deploy(bundle)


@pytest.fixture(scope="session")
def vendored(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function's folder with packages beside its `app.py`, as `pip install --target` puts them there."""

    def vendored(name: str, *packages: str) -> Path:
        folder = tmp_path_factory.mktemp("vendored") / name
        shutil.copytree(FUNCTIONS / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for package in packages:
            shutil.copytree(pycape_packages() / package, folder / package)
        return folder

    return vendored
