"""`blindsight up`: from nothing to a serving stack on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import httpx2
import typer
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from blindsight.client import routes
from blindsight.errors import BlindsightError
from blindsight_cli import localca, models, provision, units
from blindsight_cli.console import err, fail, out
from blindsight_cli.gateway_url import DEFAULT_URL
from blindsight_cli.local_trust import environment
from blindsight_cli.supervisor import Supervisor, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from blindsight_cli.models import Chosen
    from blindsight_cli.provision import Provisioned

_START_SECONDS = 120.0
_POLL_SECONDS = 0.1
_PROBE_SECONDS = 5.0
_RENEW_SECONDS = 6 * 3600.0
_TLS_NAMES = ["localhost", "127.0.0.1", "::1"]


def up(  # noqa: PLR0917 -- typer makes options of them
    port: Annotated[int, typer.Option(help="HTTP port.", min=1, max=65535)] = 8000,
    tls_port: Annotated[int, typer.Option(help="HTTPS port; 0 turns it off.", min=0, max=65535)] = 8443,
    metrics_port: Annotated[int, typer.Option(help="Metrics port; 0 turns it off.", min=0, max=65535)] = 9000,
    state: Annotated[Path, typer.Option(help="Folder for models, keys, policy and logs.")] = Path(".blindsight"),
    model: Annotated[
        Path | None, typer.Option(help="ONNX classifier or model directory; default: pretrained ResNet50.")
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Image formats to take, such as jpeg,png,webp,avif; default: the model's own."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Worker processes; default: one for each processor.", min=1)] = (
        os.cpu_count() or 1
    ),
    variant: Annotated[
        Literal["cape", "classifier"], typer.Option(help="With Cape's host, or an enclave without any of its code.")
    ] = "cape",
) -> None:
    """Build what is missing, start an enclave (simulated) and its gateway on this machine, and serve until Ctrl-C."""
    began = time.monotonic()
    _require_apart(port, tls_port, metrics_port)
    for number in (port, tls_port, metrics_port):
        _require_free(number)
    state = state.resolve()
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{state} cannot be the folder of the stack's state: {error.strerror}", "give another with --state")
    with _alone_in(state):
        raise typer.Exit(
            _up(
                state,
                model,
                formats,
                workers,
                variant,
                port=port,
                tls_port=tls_port,
                metrics_port=metrics_port,
                began=began,
            )
        )


def _up(
    state: Path,
    model: Path | None,
    formats: str | None,
    workers: int,
    variant: str,
    *,
    port: int,
    tls_port: int,
    metrics_port: int,
    began: float,
) -> int:
    chosen = models.choose(state, model, formats)
    bundle = state / "function.zip"
    units.run("enclave_function", "bundle", "build", "--model", str(chosen.folder), "--out", str(bundle))
    policy = state / "policy.json"
    enclave, gateway = _units(
        state, bundle, policy, port=port, tls_port=tls_port, metrics_port=metrics_port, workers=workers, variant=variant
    )
    # Accept exactly what was just built here, under this machine's own simulated root.
    accepting = units.command(
        "enclave_runtime", "policy", "--bundle", str(bundle), "--state", str(state / "enclave"), "--variant", variant,
        "--out", str(policy),
    )  # fmt: skip

    async def start(supervisor: Supervisor) -> None:
        """Both use one state folder: whichever comes first makes the root there."""
        supervisor.start(enclave)
        try:
            status = await units.run_beside(accepting)
        except OSError as error:
            supervisor.fail(f"no policy could be made of the bundle: {error.strerror}")
            return
        if status:
            supervisor.fail("no policy could be made of the bundle")
        else:
            supervisor.start(gateway)

    # pycape speaks nothing but TLS.
    cape = variant == "cape" and bool(tls_port)
    return asyncio.run(_serve(start, chosen, state, port=port, tls_port=tls_port, cape=cape, began=began))


def _units(
    state: Path,
    bundle: Path,
    policy: Path,
    *,
    port: int,
    tls_port: int,
    metrics_port: int,
    workers: int,
    variant: str,
) -> tuple[Unit, Unit]:
    """The enclave and its gateway."""
    enclave_address = f"tcp://127.0.0.1:{_free_port()}"
    with bundle.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    logs = state / "logs"
    logs.mkdir(exist_ok=True)
    (state / "gateway").mkdir(mode=0o700, exist_ok=True)
    settings = {
        "BLINDSIGHT_POLICY": str(policy),
        "BLINDSIGHT_ENCLAVE": enclave_address,
        # The enclave makes it as it starts.
        "BLINDSIGHT_ENCLAVE_SECRET_FILE": str(state / "enclave" / "gateway_secret"),
        "BLINDSIGHT_PORT": str(port),
        "BLINDSIGHT_METRICS_PORT": str(metrics_port),
    }
    if variant == "cape":
        settings |= {
            "BLINDSIGHT_DATABASE": f"sqlite:///{state / 'gateway' / 'cape.sqlite'}",
            "BLINDSIGHT_BUNDLES": str(state / "gateway" / "bundles"),
            "BLINDSIGHT_CLASSIFIER_GRANT": str(provision.grant_file(state)),
            "BLINDSIGHT_SIGNUP_TOKENS_FILE": str(provision.signup_tokens(state)),
        }
    if tls_port:
        tls = localca.ensure(state / "tls", _TLS_NAMES)
        settings |= {
            "BLINDSIGHT_TLS_PORT": str(tls_port),
            "BLINDSIGHT_TLS_CERTIFICATE": str(tls.certificate),
            "BLINDSIGHT_TLS_KEY": str(tls.key),
        }
    enclave = Unit(
        "enclave",
        "enclave_runtime",
        ["serve", "--bundle", str(bundle), "--function-checksum", checksum,
         "--state", str(state / "enclave"), "--listen", enclave_address, "--workers", str(workers),
         "--variant", variant],
        os.environ,
        _fresh(logs / "enclave.log"),
    )  # fmt: skip
    gateway = Unit("gateway", "gateway", ["serve"], os.environ | settings, _fresh(logs / "gateway.log"))
    return enclave, gateway


async def _serve(
    start: Callable[[Supervisor], Coroutine[None, None, None]],
    chosen: Chosen,
    state: Path,
    *,
    port: int,
    tls_port: int,
    cape: bool,
    began: float,
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(lambda text: err.print(text, style="yellow", markup=False))
    renewing: asyncio.Task[None] | None = None
    starting = asyncio.create_task(start(supervisor))
    try:
        waits = [asyncio.ensure_future(awaited) for awaited in (_ready(port), supervisor.failed.wait(), stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=_START_SECONDS)
        for wait in waits:
            wait.cancel()
        if stop.is_set():
            return 0
        if not waits[0].done() or waits[0].cancelled():
            reason = supervisor.failure or f"the stack was not ready within {_START_SECONDS:g} s"
            err.print(f"error: {reason}", style="red", markup=False)
            err.print(f"next:  look into {state / 'logs'}, or run `blindsight doctor`", markup=False)
            return 1
        supervisor.up = True
        seconds = time.monotonic() - began
        prepared = None
        if cape:
            url, plain_url = f"https://localhost:{tls_port}", f"http://127.0.0.1:{port}"
            prepared = await asyncio.to_thread(provision.provision, state, state / "function.zip", url, plain_url)
            renewing = asyncio.create_task(_renew(state, plain_url))
        confinement = await _confinement(port)
        _banner(chosen, state, port=port, tls_port=tls_port, seconds=seconds, confinement=confinement)
        if prepared is not None:
            _cape_lines(prepared, state, tls_port=tls_port)
        out.print("Ctrl-C stops everything.")
        await stop.wait()
        err.print("Stopping…")
        return 0
    finally:
        for task in (starting, renewing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await supervisor.stop()


async def _renew(state: Path, url: str) -> None:
    """Keep the local owner's permission for the classifier from running out, as long as the stack runs."""
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        with contextlib.suppress(BlindsightError):  # Days are left to try it again.
            await asyncio.to_thread(provision.renew_grant, state, state / "function.zip", url)


async def _ready(port: int) -> None:
    async with routes.asynchronous(f"http://127.0.0.1:{port}", timeout=_PROBE_SECONDS) as client:
        while True:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(_POLL_SECONDS)


async def _confinement(port: int) -> str:
    """What the enclave says of how untrusted code is kept to itself, in one line."""
    async with routes.asynchronous(f"http://127.0.0.1:{port}", timeout=_PROBE_SECONDS) as client:
        told = (await client.get("/info")).json()["confinement"]
    if told is None:
        return "[yellow]unknown[/]"
    if gaps := told["gaps"]:
        return f"[bold yellow]incomplete[/]: {escape('; '.join(gaps))}"
    return f"complete: {escape(', '.join(told['layers']))}"


def _banner(chosen: Chosen, state: Path, *, port: int, tls_port: int, seconds: float, confinement: str) -> None:
    manifest = chosen.manifest
    trained = "trained" if manifest["trained"] else "[bold red]UNTRAINED: its answers are noise[/]"
    table = Table.grid(padding=(0, 2))
    table.add_row("Page", f"http://localhost:{port}/   (API: http://localhost:{port}/docs)")
    if tls_port:
        table.add_row("HTTPS", f"https://localhost:{tls_port}/   (authority: {state / 'tls' / 'ca.pem'})")
    table.add_row(
        "Model", f"{manifest['name']} {manifest['version']}, {manifest['labels']['count']} classes, {trained}"
    )
    table.add_row("Enclave", "[bold yellow]SIMULATED: it proves nothing about this host[/]")
    table.add_row("Confinement", confinement)
    table.add_row("Policy", str(state / "policy.json"))
    table.add_row("Logs", str(state / "logs"))
    out.print(Panel(table, title=f"Blindsight serves after {seconds:.1f} s", title_align="left", expand=False))
    if chosen.remark:
        out.print(chosen.remark, style="yellow")
    out.print("Try it:", end="\n\n")
    out.print(f"    curl -F file=@photo.jpg localhost:{port}/classify", end="\n\n", markup=False)
    if f"http://127.0.0.1:{port}" != DEFAULT_URL:
        out.print("For `blindsight classify` and the other commands:", end="\n\n", markup=False)
        out.print(f"    export BLINDSIGHT_URL=http://127.0.0.1:{port}", end="\n\n", markup=False)


def _cape_lines(prepared: Provisioned, state: Path, *, tls_port: int) -> None:
    """For the scripts of Cape's example, to copy."""
    out.print("For pycape and Cape's scripts (then `blindsight with-local-trust python script.py`):", end="\n\n")
    for name, value in (
        ("CAPE_ENCLAVE_HOST", f"https://localhost:{tls_port}"),
        ("CAPE_LOCAL_CONFIG_DIR", environment.config_folder(state)),
        ("FUNCTION_ID", prepared.function_id),
        ("FUNCTION_CHECKSUM", prepared.function_checksum),
        ("TOKEN", prepared.token),
    ):
        out.print(f"    export {name}={value}", markup=False, soft_wrap=True)
    out.print()


@contextlib.contextmanager
def _alone_in(state: Path) -> Iterator[None]:
    """Policy, bundle, keys and logs in the folder are one stack's: another's would take their place."""
    with (state / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            fail(
                f"another stack uses {state} (process {lock.read().strip() or 'unknown'})",
                "stop it, or choose another folder, as in `make run STATE=.blindsight-2`",
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _require_apart(*ports: int) -> None:
    used = [port for port in ports if port]
    if len(set(used)) < len(used):
        fail("HTTP, HTTPS and metrics need a port each", "choose others, as in `make run PORT=8080 TLS_PORT=8444`")


def _require_free(port: int) -> None:
    if not port:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            fail(f"port {port} is taken", "stop what listens there, or choose another, as in `make run PORT=8080`")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _fresh(log: Path) -> Path:
    """Begin a new log, and keep the last one."""
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
    log.touch()
    return log
