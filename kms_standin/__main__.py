"""`python -m kms_standin serve`: runs the stand-in until SIGTERM or SIGINT.

Keys, access keys and the TLS authority are kept in the folder of `--state`, so that clients can be configured once.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import signal
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from blindsight import files, interrupt
from blindsight.arguments import a_path, port, whole
from kms_standin import NAME, NOTICE, authority
from kms_standin.attested import MAX_AGE_SECONDS, Verifier
from kms_standin.keypolicy import KeyPolicy
from kms_standin.keys import Keys
from kms_standin.refusal import Refused
from kms_standin.server import Role, metadata_listener, service_listener
from kms_standin.service import Service
from kms_standin.signatures import AccessKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAX_FILE_BYTES = 1 << 20
_HOST = "localhost"
_ACCESS_KEYS = "access_keys.json"


def main() -> int:
    """Serve until a signal. Prints the ports as one line of JSON, and a warning on standard error.

    Returns 0, or 1 with a message if an argument or a file cannot be used. Raises `SystemExit` (2) for invalid
    arguments.
    """
    arguments = _parser().parse_args()
    try:
        return _serve(arguments)
    except OSError as error:
        what = f"{error.filename} cannot be used: {error.strerror}." if error.filename else f"{error}."
        return _fail(f"{what} Check the path and this user's rights.")
    except Refused as error:
        return _fail(f"{error} Give --policy what `blindsight kms policy` writes.")
    except ValueError as error:
        return _fail(f"{error}. Check the files that were named and those in the folder of --state.")
    except KeyboardInterrupt:
        _fail("interrupted")
        return interrupt.EXIT_STATUS


def _fail(message: str) -> int:
    print(f"kms_standin: {message}", file=sys.stderr)
    return 1


def _serve(arguments: argparse.Namespace) -> int:
    if not re.fullmatch(r"arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+", arguments.key):
        return _fail(f"{arguments.key} is not a key's ARN. Give --key arn:aws:kms:REGION:ACCOUNT:key/ID.")
    folder: Path = arguments.state
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = Keys(folder / "keys.json")
    keys.make(arguments.key)
    access_keys = _access_keys(folder / _ACCESS_KEYS, [arguments.role, *arguments.principal])
    by_arn = {key.arn: (name, key) for name, key in access_keys.items()}
    service = Service(
        region=arguments.key.split(":")[3],
        keys=keys,
        policies={arguments.key: KeyPolicy(files.read(arguments.policy, _MAX_FILE_BYTES).decode())},
        access_keys=access_keys,
        verifier=Verifier(_root(arguments.root), "simulated", _now, arguments.max_document_age),
        clock=_now,
    )
    listener = service_listener(service, arguments.port, authority.server_tls(folder, _HOST))
    name, access = by_arn[arguments.role]
    metadata = metadata_listener(Role(arguments.role.rpartition("/")[2], name, access, _now), arguments.metadata_port)
    print(f"{NAME}: {NOTICE}", file=sys.stderr)
    where = {"endpoint": _HOST, "port": listener.port, "metadata_port": metadata.port}
    print(json.dumps({"stand_in": NOTICE, **where}), flush=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    for each in (listener, metadata):
        threading.Thread(target=each.http.serve_forever, daemon=True).start()
    stop.wait()
    return 0


def _access_keys(path: Path, arns: list[str]) -> dict[str, AccessKey]:
    """The access keys by their id, one for each principal; new ones are added to the file `path`."""
    kept: dict[str, dict[str, str]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for arn in arns:
        if not any(entry["arn"] == arn for entry in kept.values()):
            name = "STANDIN" + secrets.token_hex(6).upper()
            kept[name] = {"arn": arn, "secret": secrets.token_urlsafe(30), "token": secrets.token_urlsafe(60)}
    path.touch(mode=0o600)
    path.write_text(json.dumps(kept, indent=2), encoding="utf-8")
    return {name: AccessKey(entry["arn"], entry["secret"], entry["token"]) for name, entry in kept.items()}


def _root(path: Path) -> str:
    """SHA-256 (hexadecimal) of the certificate in a PEM file, which may also contain a key."""
    pem = files.read(path, _MAX_FILE_BYTES)
    start = pem.find(b"-----BEGIN CERTIFICATE")
    return x509.load_pem_x509_certificate(pem[max(start, 0) :]).fingerprint(hashes.SHA256()).hex()


def _now() -> datetime:
    return datetime.now(UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kms_standin", description=f"A stand-in for AWS KMS: {NOTICE}.")
    command = parser.add_subparsers(required=True, metavar="serve").add_parser("serve", help="serve until SIGTERM")
    option: Callable[..., argparse.Action] = command.add_argument
    option("--state", type=a_path, required=True, metavar="DIR", help="folder of the keys, made if there is none")
    option("--key", required=True, metavar="ARN", help="the key, made if there is none")
    option("--policy", type=a_path, required=True, metavar="FILE", help="its key policy: `blindsight kms policy`")
    option(
        "--root", type=a_path, required=True, metavar="PEM", help="certificate of the simulated root that is accepted"
    )
    option("--role", required=True, metavar="ARN", help="role whose credentials the metadata service gives")
    option("--principal", action="append", default=[], metavar="ARN", help="another principal with an access key")
    option("--port", type=port, default=0, help="of the service, over TLS on localhost (default: a free one)")
    option("--metadata-port", type=port, default=0, help="of the metadata service (default: a free one)")
    option("--max-document-age", type=whole, default=MAX_AGE_SECONDS, metavar="SECONDS", help="(default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
