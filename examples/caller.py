"""What the scripts share: their argument, their environment, and what to do where this machine's stack is not trusted.

pycape itself stays as it was published. Its own errors are shown as one line with a next step.
"""

import errno
import os
import shlex
import sys
import traceback
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

AWS_ROOT = "aws-nitro-enclaves.amazonaws.com"
MAKE_RUN = "export what `make run` prints"


def argument(what: str, default: str | None = None) -> str:
    """The script's one argument; without it and a default, say how it is called."""
    given = sys.argv[1:]
    if given in (["-h"], ["--help"]) or len(given) > 1 or (not given and default is None):
        print(f"usage: python {sys.argv[0]} {what if default is None else f'[{what}]'}")
        sys.exit(0 if given in (["-h"], ["--help"]) else 2)
    return given[0] if given else str(default)


def photo() -> str:
    """The path of the photo: the script's argument, or that of the original example."""
    path = argument("IMAGE", "images_sample/dog.jpeg")
    if not Path(path).is_file():
        _end(f"there is no photo at {path}", f"python {sys.argv[0]} IMAGE")
    return path


def variable(name: str) -> str:
    """A variable of the environment; without it, say where its value comes from."""
    if not os.environ.get(name):
        _end(f"{name} is not set", MAKE_RUN if name != "TOKEN" else f"{MAKE_RUN}, or what `cape token create` printed")
    return os.environ[name]


def explain_failures() -> None:
    """From here on, show pycape's errors about trust and reach as one line with a next step."""
    variable("CAPE_ENCLAVE_HOST")  # Without it, pycape asks Cape's cloud, which is gone.
    sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    host, text = os.environ["CAPE_ENCLAVE_HOST"], str(error)
    is_local = urlsplit(host).hostname in {"localhost", "127.0.0.1", "::1"}
    # The evidence, the TLS certificate, or, without network, AWS's root.
    is_distrust = kind.__name__ == "X509StoreContextError" or "CERTIFICATE_VERIFY_FAILED" in text or AWS_ROOT in text
    if is_distrust and is_local and "BLINDSIGHT_LOCAL_ROOT" not in os.environ:
        found = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "blindsight"
        blindsight = str(found) if found.exists() else "blindsight"
        command = shlex.join([blindsight, "with-local-trust", sys.executable, *sys.argv])
        _end(f"pycape does not trust {host}: its enclave is simulated on this machine", command)
    if f"[Errno {errno.ECONNREFUSED}]" in text:
        _end(f"{host} cannot be reached", f"start it with `make run`, or {MAKE_RUN}")
    traceback.print_exception(kind, error, trace)


def _end(message: str, following: str) -> None:
    print(f"error: {message}\nnext:  {following}", file=sys.stderr)
    sys.exit(1)
