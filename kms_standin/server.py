"""The two listeners on loopback: the service over HTTPS, and the instance metadata service (IMDSv2) over HTTP.

AWS KMS API reference (JSON protocol 1.1); Amazon EC2 User Guide, "Use the Instance Metadata Service".
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

from kms_standin import HEADER, NAME, NOTICE
from kms_standin.refusal import Refused

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from datetime import datetime

    from kms_standin.service import Service
    from kms_standin.signatures import AccessKey

_MAX_BODY_BYTES = 1 << 20
_LOOPBACK = "127.0.0.1"


class _Handler(BaseHTTPRequestHandler):
    """States in every answer that this is the stand-in. Logs nothing."""

    server_version = NAME
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 30

    def answer(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header(HEADER, NOTICE)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        """Log nothing: addresses and paths of tests have no use."""


class _Server(ThreadingHTTPServer):
    """Does not report clients that disconnect or refuse its certificate."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: the client reports its own error."""


class Listener:
    """A bound server. The caller runs `http.serve_forever` in a thread. Port 0 takes a free one.

    Raises `OSError` if the port is in use.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int, tls: ssl.SSLContext | None = None) -> None:
        self.http = _Server((_LOOPBACK, port), handler)
        if tls is not None:
            # The handshake takes place in the thread of the connection, so that a slow client does not delay others.
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        return int(self.http.server_address[1])


def service_listener(service: Service, port: int, tls: ssl.SSLContext | None) -> Listener:
    """The listener for the KMS API, over TLS unless `tls` is None. Bodies have at most 1 MiB. Raises `OSError`."""

    class Handler(_Handler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
                self.close_connection = True
                self.answer(413, b"{}", "application/x-amz-json-1.1")
                return
            body = self.rfile.read(int(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, members = _answered(service, headers, body)
            self.answer(status, json.dumps(members).encode(), "application/x-amz-json-1.1")

    return Listener(Handler, port, tls)


def _answered(service: Service, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
    try:
        return 200, service.answer(headers, body)
    except Refused as refused:
        return refused.status, {"__type": refused.name, "message": str(refused)}


@dataclass
class Role:
    """An instance's role with its temporary credentials. `sessions` are the tokens that the metadata service issued."""

    name: str
    access_key_id: str
    access_key: AccessKey
    clock: Callable[[], datetime]
    lifetime: timedelta = timedelta(hours=6)
    sessions: set[str] = field(default_factory=set)

    def credentials(self) -> dict[str, str]:
        """The metadata service's JSON for the role; times are RFC 3339 in UTC."""
        now = self.clock()
        return {
            "Code": "Success",
            "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "Type": "AWS-HMAC",
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.access_key.secret,
            "Token": self.access_key.token or "",
            "Expiration": f"{now + self.lifetime:%Y-%m-%dT%H:%M:%SZ}",
        }


def metadata_listener(role: Role, port: int) -> Listener:
    """The listener for the instance metadata service, version 2 only: it answers requests with a session token.

    Raises `OSError`.
    """
    folder = "/latest/meta-data/iam/security-credentials/"

    class Handler(_Handler):
        seconds: ClassVar[str] = "X-aws-ec2-metadata-token-ttl-seconds"

        def do_PUT(self) -> None:
            if self.path != "/latest/api/token" or not self.headers.get(self.seconds, "").isdecimal():
                self.answer(400, b"", "text/plain")
                return
            session = secrets.token_urlsafe(32)
            role.sessions.add(session)
            self.answer(200, session.encode(), "text/plain")

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") not in role.sessions:
                self.answer(401, b"", "text/plain")
            elif self.path == folder:
                self.answer(200, role.name.encode(), "text/plain")
            elif self.path == folder + role.name:
                self.answer(200, json.dumps(role.credentials()).encode(), "application/json")
            else:
                self.answer(404, b"", "text/plain")

    return Listener(Handler, port)
