"""`python -m evil_gateway`: try every trick on the Python client, or serve one trick for a browser."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import Final

import httpx2

from blindsight import arguments, files, interrupt
from blindsight.arguments import a_path
from blindsight.attestation import Policy
from blindsight.client import addresses, routes
from blindsight.errors import BlindsightError
from evil_gateway import demo, honest
from evil_gateway.app import EvilGateway
from evil_gateway.honest import NothingToShowError
from evil_gateway.tricks import TRICKS

_DESCRIPTION: Final = "Play tricks on the client, or serve one for a browser."
_URL: Final = "http://127.0.0.1:8000"
_POLICY: Final = Path(".blindsight/policy.json")
_STATE: Final = Path(".blindsight/enclave")
_PORT: Final = 8666

_MAX_PHOTO_BYTES = 256 << 20


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=arguments.program("evil_gateway"), description=_DESCRIPTION)
    parser.add_argument("--url", help=f"the honest gateway (default BLINDSIGHT_URL, or {_URL})")
    parser.add_argument("--policy", type=a_path, help=f"the client's (default {_POLICY})")
    parser.add_argument(
        "--state", type=a_path, help=f"folder of the simulated root, for what only its host can play (default {_STATE})"
    )
    parser.add_argument("--photo", type=a_path, help="the photo to send (default: a grey square)")
    parser.add_argument("--trick", choices=list(TRICKS), metavar="NAME", help="this one only; see --list")
    parser.add_argument("--list", action="store_true", help="name the tricks and end")
    parser.add_argument("--serve", action="store_true", help="serve --trick, to open in a browser, until Ctrl-C")
    parser.add_argument("--port", type=arguments.port, help=f"of --serve (default {_PORT})")
    return parser


def _without_effect(options: argparse.Namespace) -> tuple[str, str] | None:
    """An error message and its next step for an option that has no effect with the others; None if all have."""
    given = {name for name, value in vars(options).items() if value}
    if options.serve:
        unused, reason = given & {"photo", "policy"}, "with --serve: the browser has its own"
    else:
        unused, reason = given & {"port"}, "without --serve"
    return (f"--{min(unused)} has no effect {reason}", "leave it out") if unused else None


def main() -> int:
    """Run the command line.

    Returns 0 if the client refused every trick with its code, 1 if not or if the demonstration could not run, 130 after
    Ctrl-C. Raises `SystemExit` (2) for invalid arguments.
    """
    options = _parser().parse_args()
    if options.list:
        for trick in TRICKS.values():
            print(f"{trick.name:24} {trick.story}")
        return 0
    if problem := _without_effect(options):
        return _fail(*problem)
    url = options.url or os.environ.get("BLINDSIGHT_URL") or _URL
    if fault := addresses.fault(url):
        return _fail(*fault.told(url, "--url"))
    try:
        return _play(options, url)
    except NothingToShowError as error:
        return _fail(str(error), error.next_step)
    except httpx2.HTTPStatusError as error:
        return _fail(f"{error.request.url} answers {error.response.status_code}", "look with `blindsight doctor`")
    except httpx2.HTTPError as error:
        if refused := routes.fault(error):
            return _fail(f"{url}: {refused}", refused.next_step)
        return _fail(f"{url} does not answer ({type(error).__name__})", "start it with `blindsight up`, or give --url")
    except BlindsightError as error:
        return _fail(str(error), error.next_step)
    except OSError as error:
        what = f"{error.filename} cannot be used: {error.strerror}" if error.filename else str(error)
        return _fail(what, "check the path and this user's rights")
    except KeyboardInterrupt:
        _fail("interrupted.")
        return interrupt.EXIT_STATUS


def _play(options: argparse.Namespace, url: str) -> int:
    with routes.blocking(url, timeout=10) as client:
        client.get("/livez").raise_for_status()
    state = _state(options.state, url)
    evil = EvilGateway(url, state)
    if options.serve:
        return _serve(evil, options.trick, _PORT if options.port is None else options.port)
    tricks = [TRICKS[options.trick]] if options.trick else list(TRICKS.values())
    played = [trick for trick in tricks if state is not None or not trick.needs_root]
    if options.trick and not any(trick.code is not None for trick in played):
        if played:
            return _fail(f"{options.trick} needs a browser", "add --serve")
        what = f"{options.trick} needs --state, the folder of the simulated root"
        return _fail(what, "give --state of the stack that serves there")
    photo = _photo(options.photo) if options.photo else demo.PHOTO
    policy = Policy.load(options.policy or _POLICY)
    outcomes = demo.run(evil, played, policy, photo)
    demo.show(outcomes)
    if len(played) < len(tricks):
        print(f"{len(tricks) - len(played)} tricks need --state, the folder of the simulated root.")
    return 0 if all(outcome.as_expected for outcome in outcomes) else 1


def _state(given: Path | None, url: str) -> Path | None:
    """The folder of the simulated root under which the honest enclave's evidence was signed.

    None if `given` is None and the default folder does not have that root. Raises `NothingToShowError` if `given` does
    not have it.
    """
    folder = honest.root_folder(given or _STATE)
    if folder is not None and honest.has_root_of(folder, url):
        return folder
    if given is None:
        return None
    if folder is None:
        what = f"{given} has no simulated root"
    else:
        what = f"the simulated root in {folder} is not that of the enclave behind {url}"
    raise NothingToShowError(what, "give --state of the stack that serves there, or leave --state out")


def _photo(path: Path) -> bytes:
    try:
        return files.read(path, _MAX_PHOTO_BYTES)
    except OSError as error:
        raise NothingToShowError(f"{path} cannot be read: {error.strerror}", "give --photo an image") from error


def _serve(evil: EvilGateway, name: str | None, port: int) -> int:
    if name is None:
        return _fail("--serve plays one trick", "name it with --trick; --list shows them")
    evil.play(TRICKS[name])
    with demo.serving(evil, port) as url:
        print(f"{url} {TRICKS[name].story}. Ctrl-C ends it.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


def _fail(message: str, next_step: str = "") -> int:
    print(f"error: {message}", file=sys.stderr)
    if next_step:
        print(f"next:  {next_step}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
