"""`python -m evil_gateway`: play tricks on the client, or serve one for a browser."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import Final

import httpx2

from blindsight import arguments, files, interrupt
from blindsight.attestation import Policy
from blindsight.client import routes
from blindsight.errors import BlindsightError
from evil_gateway import demo
from evil_gateway.app import EvilGateway
from evil_gateway.tricks import TRICKS

_URL: Final = "http://127.0.0.1:8000"
_POLICY: Final = Path(".blindsight/policy.json")
_STATE: Final = Path(".blindsight/enclave")
_PORT: Final = 8666

_MAX_PHOTO_BYTES = 256 << 20


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="blindsight demo evil-gateway", description=__doc__)
    parser.add_argument("--url", help=f"the honest gateway (default BLINDSIGHT_URL, or {_URL})")
    parser.add_argument("--policy", type=Path, help=f"the client's (default {_POLICY})")
    parser.add_argument(
        "--state", type=Path, help=f"folder of the simulated root, for what only its host can play (default {_STATE})"
    )
    parser.add_argument("--photo", type=Path, help="the photo to send (default: a grey square)")
    parser.add_argument("--trick", choices=list(TRICKS), metavar="NAME", help="this one only; see --list")
    parser.add_argument("--list", action="store_true", help="name the tricks and end")
    parser.add_argument("--serve", action="store_true", help="serve --trick, to open in a browser, until Ctrl-C")
    parser.add_argument("--port", type=arguments.port, help=f"of --serve (default {_PORT})")
    return parser


def _without_effect(options: argparse.Namespace) -> str | None:
    """What is wrong with the options, taken together."""
    given = {name for name, value in vars(options).items() if value}
    if options.serve:
        unused, reason = given & {"photo", "policy"}, "with --serve: the browser has its own"
    else:
        unused, reason = given & {"port"}, "without --serve"
    return f"--{min(unused)} has no effect {reason}; leave it out" if unused else None


def main() -> int:
    """Run one command; exit status 0 if every trick was refused for its reason."""
    options = _parser().parse_args()
    if options.list:
        for trick in TRICKS.values():
            print(f"{trick.name:24} {trick.story}")
        return 0
    if problem := _without_effect(options):
        return _fail(problem)
    tricks = [TRICKS[options.trick]] if options.trick else list(TRICKS.values())
    folder = options.state or _STATE
    state = folder if folder.is_dir() else None
    url = options.url or os.environ.get("BLINDSIGHT_URL") or _URL
    if not url.startswith(("http://", "https://")):
        return _fail(f"{url} is not an address of a gateway; it begins with http:// or https://, as in http://{url}")
    try:
        with routes.blocking(url, timeout=10) as client:
            client.get("/livez").raise_for_status()
        evil = EvilGateway(url, state)
        if options.serve:
            return _serve(evil, options.trick, _PORT if options.port is None else options.port)
        played = [trick for trick in tricks if state is not None or not trick.needs_root]
        photo = files.read(options.photo, _MAX_PHOTO_BYTES) if options.photo else demo.PHOTO
        if options.trick and not any(trick.code is not None for trick in played):
            why = "--state, the folder of the simulated root" if not played else "a browser: add --serve"
            return _fail(f"{options.trick} needs {why}")
        outcomes = demo.run(evil, played, Policy.load(options.policy or _POLICY), photo)
    except httpx2.HTTPError as error:
        return _fail(f"{url} does not answer ({type(error).__name__}); start it with `blindsight up`")
    except (BlindsightError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted")
        return interrupt.EXIT_STATUS
    demo.show(outcomes)
    if len(played) < len(tricks):
        print(f"{len(tricks) - len(played)} tricks need --state, the folder of the simulated root.")
    return 0 if all(outcome.as_expected for outcome in outcomes) else 1


def _serve(evil: EvilGateway, name: str | None, port: int) -> int:
    if name is None:
        return _fail("--serve plays one trick: name it with --trick; --list shows them")
    evil.play(TRICKS[name])
    with demo.serving(evil, port) as url:
        print(f"{url} {TRICKS[name].story}. Ctrl-C ends it.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


def _fail(message: str) -> int:
    print(f"evil_gateway: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
