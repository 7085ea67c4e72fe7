"""Gives pycape this machine's simulated root of trust, for hosts on the loopback interface and no others.

Python runs this file at start because `blindsight with-local-trust` put its folder on PYTHONPATH. It is alone there:
any interpreter that pycape works with runs it, without Blindsight installed, so it uses the standard library only.
"""

import ipaddress
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from urllib.parse import urlsplit

ROOT_VARIABLE = "BLINDSIGHT_LOCAL_ROOT"
_MODULE = "pycape._attestation"


def _is_loopback(url):
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _substitute(module, root_file):
    genuine = module.download_root_cert
    said = []

    def download_root_cert():
        # pycape does not say for which host it wants the root; its caller, a `Cape` object, knows.
        asking = sys._getframe(1).f_locals.get("self")
        url = getattr(asking, "_url", None)
        if not isinstance(url, str) or not _is_loopback(url):
            return genuine()
        if not said:
            said.append(True)
            print(f"LOCAL TRUST: simulated evidence of {url} is accepted. It proves nothing.", file=sys.stderr)
        with open(root_file, "rb") as file:
            return file.read()

    module.download_root_cert = download_root_cert


class _Finder(MetaPathFinder):
    """Lets the other finders find the module, and changes one function once it has run."""

    def __init__(self, root_file):
        self._root_file = root_file

    def find_spec(self, name, path, target=None):
        if name != _MODULE:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                run = spec.loader.exec_module

                def exec_module(module, run=run):
                    run(module)
                    _substitute(module, self._root_file)

                spec.loader.exec_module = exec_module
                return spec
        return None


def _run_the_next():
    """The environment may have a `sitecustomize` of its own, which this one hides."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    if os.environ.get(ROOT_VARIABLE):
        sys.meta_path.insert(0, _Finder(os.environ[ROOT_VARIABLE]))
    _run_the_next()
