"""`blindsight tls`: a certificate authority and a server certificate, for development."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import Annotated

import typer

from blindsight_cli import localca, statelock
from blindsight_cli.console import fail, out
from blindsight_cli.paths import a_path

_HOSTS = ["localhost", "127.0.0.1", "::1"]


def tls(
    folder: Annotated[
        Path, typer.Option("--out", help="Folder for the files; keys in it get mode 0600.", parser=a_path)
    ],
    host: Annotated[list[str] | None, typer.Option(help="A name or address of the server, besides loopback's.")] = None,
) -> None:
    """Make, or renew, a private certificate authority and a server's certificate under it.

    What the authority can sign for is limited to loopback and the given hosts: with other hosts it is made anew.
    """
    statelock.require_not_in_use(folder / "ca.pem")
    try:
        files = localca.ensure(folder, [*_HOSTS, *(host or [])])
    except ValueError as error:
        fail(f"--host is neither a DNS name nor an address: {error}", "give it as in --host photos.example")
    except OSError as error:
        fail(f"{folder} cannot hold keys and certificates: {error.strerror}", "give a folder that you may write to")
    for name, path in (
        ("BLINDSIGHT_TLS_CERTIFICATE", files.certificate),
        ("BLINDSIGHT_TLS_KEY", files.key),
        ("SSL_CERT_FILE", files.ca),
    ):
        out.print(f"{name}={path}", soft_wrap=True)
