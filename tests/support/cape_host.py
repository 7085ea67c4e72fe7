"""A whole Cape host on the loopback, people with accounts there, and pycape in an interpreter of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sysconfig
import textwrap
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import model_build
from blindsight.cape import tokens
from blindsight.cape.constants import PREFIX
from blindsight.cape.envelope import Encryptor, load_public_key
from blindsight.client.cape import Host, Trust
from blindsight_cli.cape.package import package
from blindsight_cli.local_trust import environment
from tests.support import preloaded
from tests.support.cape_client import GoCape, JsCape

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from tests.support.stack import Stack

FUNCTIONS = Path(__file__).resolve().parents[1] / "cape" / "functions"
OFFLINE_MODEL = Path(model_build.__file__).parent / "offline_model"

_REPOSITORY = Path(__file__).resolve().parents[2]
_SECONDS = 90.0

PRELUDE = """\
import json, sys
from pycape import Cape
given = json.loads(sys.argv[1])
def answer(value):
    print(json.dumps(value))
"""
"""What every script begins with: `given` is what the test passes, `answer` what it gets back, as JSON."""


def pycape_python() -> Path | None:
    """The interpreter that has the published pycape; None if there is none."""
    named = os.environ.get("BLINDSIGHT_PYCAPE_PYTHON")
    path = Path(named) if named else _REPOSITORY / ".venv-pycape" / "bin" / "python"
    return path if path.exists() else None


def require_pycape() -> Path:
    """The interpreter that has pycape; skips the test without one."""
    found = pycape_python()
    if found is None:
        pytest.skip("no pycape: `make .venv-pycape/installed`, or name an interpreter in BLINDSIGHT_PYCAPE_PYTHON")
    return found


def pycape_packages() -> Path:
    """Where that interpreter keeps its packages; skips the test without one."""
    prefix = require_pycape().parent.parent
    return Path(sysconfig.get_path("purelib", vars={"base": str(prefix)}))


@dataclass(frozen=True)
class Deployed:
    """A function; `checksum` in hexadecimal, `name` with its owner's."""

    id: str
    name: str
    checksum: str


@dataclass(frozen=True)
class Done:
    """What a command did."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class CapeHost:
    """A stack that is a Cape host, over TLS and plain. `state` is laid out as that of `blindsight up`."""

    stack: Stack
    state: Path
    tls_port: int
    plain_url: str

    @property
    def url(self) -> str:
        return f"https://localhost:{self.tls_port}"

    @property
    def ca(self) -> Path:
        return self.state / "tls" / "ca.pem"

    @cached_property
    def root(self) -> x509.Certificate:
        """The root of the simulated evidence."""
        return x509.load_pem_x509_certificate((self.state / "enclave" / "simulated_root.pem").read_bytes())

    def variables(self, *, url: str | None = None) -> dict[str, str]:
        """The environment in which clients trust this host, with nothing of the caller's own settings."""
        ours = ("BLINDSIGHT_", "CAPE_", "LOCAL_", "PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return environment.trusting(self.state, url or self.url, kept)

    def go(self, path: str, token: str, *, url: str | None = None) -> GoCape:
        return GoCape(url or self.plain_url, path, token, ca=self.ca)

    def js(self, path: str, token: str, **options: Any) -> JsCape:
        return JsCape(self.plain_url, path, token, options.pop("root", self.root), **options)


@dataclass(frozen=True)
class Person:
    """A user with an account, a folder for `cape` and a home."""

    username: str
    host: CapeHost
    home: Path
    python: Path | None = field(default=None, repr=False)

    @property
    def config(self) -> Path:
        return self.home / "cape"

    @cached_property
    def key(self) -> Ed25519PrivateKey:
        pem = (self.config / "owner.key").read_bytes()
        return cast("Ed25519PrivateKey", serialization.load_pem_private_key(pem, None))

    @cached_property
    def key_der(self) -> bytes:
        """The Cape Key, fetched and proven."""
        with self.host.go("/v1/key", self.token("account")) as opened:
            return base64.b64decode(opened.document.user_data["key"], validate=True)

    def token(self, scope: tokens.Scope = "run", **options: Any) -> str:
        lifetime = options.pop("lifetime", timedelta(hours=1))
        return tokens.mint(self.key, self.username, scope, lifetime=lifetime, **options)

    def deploy_token(self, name: str, checksum: str, *, public: bool = False) -> str:
        return self.token("deploy", func_checksum=checksum, function_name=name, public=public)

    def variables(self, **changes: str | None) -> dict[str, str]:
        """The environment of this person's programs; None removes a variable."""
        mine = {"HOME": str(self.home), "CAPE_LOCAL_CONFIG_DIR": str(self.config), "USER": self.username}
        merged = {**self.host.variables(), **mine, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    def cape(self, *arguments: str, stdin: bytes = b"", status: int | None = 0, **changes: str | None) -> Done:
        """Run our `cape`; `status` is what it must end with, None for anything."""
        variables = self.variables(**changes)
        module = "blindsight_cli.cape.main"
        ran = preloaded.run(module, arguments, cwd=self.home, env=variables, given=stdin, timeout=_SECONDS)
        done = Done(ran.returncode, ran.stdout, ran.stderr.decode(errors="replace"))
        assert status in {None, done.status}, f"cape {arguments} ended with {done.status}: {done.err}"
        return done

    def pycape(self, script: str, *, changes: dict[str, str | None] | None = None, **given: Any) -> Any:
        """What a script with the published pycape answers."""
        file = self.home / "script.py"
        file.write_text(PRELUDE + textwrap.dedent(script), encoding="utf-8")
        done = self.python_script(file, json.dumps(given), changes=changes)
        assert done.status == 0, done.err
        return json.loads(done.text.splitlines()[-1])

    def python_script(self, file: Path, *arguments: str, changes: dict[str, str | None] | None = None) -> Done:
        """Run a script in the interpreter that has pycape."""
        return self._run([str(self.python), str(file), *arguments], b"", self.variables(**(changes or {})))

    def _run(self, command: list[str], stdin: bytes, variables: dict[str, str]) -> Done:
        # In the home, which is nearly empty: pycape takes a function's name for a file's if there is such a file.
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, cwd=self.home, env=variables, timeout=_SECONDS
        )
        return Done(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    def deploy(self, folder: Path, name: str = "", *, public: bool = False) -> Deployed:
        """Deploy without a command of its own, which is quicker."""
        host, trust = Host(self.host.plain_url), Trust(self.host.root)
        with package(str(folder)) as archive:
            name, checksum = name or archive.name, archive.checksum.hex()
            token = self.deploy_token(name, checksum, public=public)
            writer = Encryptor(load_public_key(self.key_der))
            content = archive.file.read()
            pieces = [PREFIX + writer.start, writer.update(content), writer.finish()]
            with host.connect("/v1/deploy", token, trust) as connection:
                function_id = connection.deploy(name, public=public, pieces=pieces)
        return Deployed(function_id, f"{self.username}/{name}", checksum)
