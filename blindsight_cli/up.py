"""`blindsight up`: from nothing to a serving stack on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import httpx2
import typer

from blindsight.client import routes
from blindsight.errors import BlindsightError
from blindsight_cli import banner, listeners, localca, models, ports, provision, statelock, stored, units
from blindsight_cli.console import err, fail
from blindsight_cli.paths import a_path
from blindsight_cli.printable import printable
from blindsight_cli.supervisor import Supervisor, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from blindsight_cli.models import Asked, Chosen
    from blindsight_cli.ports import Ports

_START_SECONDS = 120.0
_POLL_SECONDS = 0.1
_PROBE_SECONDS = 5.0
_RENEW_SECONDS = 6 * 3600.0
_UNITS = ("model_build", "enclave_function", "enclave_runtime", "gateway")
_TLS_NAMES = ["localhost", "127.0.0.1", "::1"]


def up(  # noqa: PLR0917 -- typer makes options of them
    port: Annotated[int, typer.Option(help="HTTP port.", min=1, max=65535)] = 8000,
    tls_port: Annotated[int, typer.Option(help="HTTPS port; 0 turns it off.", min=0, max=65535)] = 8443,
    metrics_port: Annotated[
        int | None,
        typer.Option(help="Metrics port; 0 turns it off. Default: 9000, or a free one.", min=0, max=65535),
    ] = None,
    state: Annotated[Path, typer.Option(help="Folder for models, keys, policy and logs.", parser=a_path)] = Path(
        ".blindsight"
    ),
    model: Annotated[
        Path | None,
        typer.Option(help="ONNX classifier or model directory; default: pretrained ResNet50.", parser=a_path),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Image formats to take, such as jpeg,png,webp,avif; default: the model's own."
        ),
    ] = None,
    model_options: Annotated[
        str | None,
        typer.Option(
            metavar="OPTIONS",
            help="Options of `blindsight model build --onnx` for an ONNX file, as one word: docs/models.md.",
        ),
    ] = None,
    precision: Annotated[
        Literal["float32", "int8"] | None,
        typer.Option(help="int8: the model's 8-bit variant, built once; default: the model as it is."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="At least 100 photos to calibrate int8; default: synthetic pictures.", parser=a_path
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
    if images is not None and precision != "int8":
        fail("--images has no effect without --precision int8", "give both, or neither")
    for unit in _UNITS:
        units.require(unit)
    # Until the stack runs, SIGTERM interrupts builds as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        state = Path(os.path.realpath(_expanded(state)))  # Path.resolve() may raise RuntimeError.
        # Before the ports are checked, since a stack in this folder uses them.
        statelock.require_none(state)
        with ports.reserved(port, tls_port, metrics_port) as taken, statelock.alone_in(state):
            told = models.Asked(
                model and _expanded(model), formats, model_options, precision, images and _expanded(images)
            )
            stored.require_usable(state)
            status = _up(state, told, workers, variant, taken, began=began)
    except OSError as error:
        place = f"{error.filename} cannot be used" if error.filename else "the stack could not be started"
        fail(f"{place}: {error.strerror or error}", f"look at the free space of {state}, and at your rights there")
    raise typer.Exit(status)


def _up(
    state: Path,
    asked: Asked,
    workers: int,
    variant: str,
    ports: Ports,
    *,
    began: float,
) -> int:
    """Build and run the stack, and return the exit status. Raises `OSError` if the state folder cannot be written."""
    bundle = state / "function.zip"
    chosen = models.bundle(state, asked, bundle)
    policy = state / "policy.json"
    enclave, gateway = _units(state, bundle, policy, ports, workers=workers, variant=variant)
    # The policy accepts exactly what was just built, under this machine's simulated root.
    accepting = units.command(
        "enclave_runtime", "policy", "--bundle", str(bundle), "--state", str(state / "enclave"), "--variant", variant,
        "--out", str(policy),
    )  # fmt: skip

    async def start(supervisor: Supervisor) -> None:
        """Both use one state folder: the first of them creates the simulated root there."""
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

    # pycape connects only over TLS.
    cape = variant == "cape" and bool(ports.tls)
    return asyncio.run(_serve(start, chosen, state, ports, cape=cape, began=began))


def _units(state: Path, bundle: Path, policy: Path, ports: Ports, *, workers: int, variant: str) -> tuple[Unit, Unit]:
    """The units of the enclave and its gateway, with their arguments and settings. Raises `OSError`."""
    enclave_address = f"tcp://127.0.0.1:{ports.enclave}"
    with bundle.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    logs = state / "logs"
    logs.mkdir(exist_ok=True)
    (state / "gateway").mkdir(mode=0o700, exist_ok=True)
    settings = {
        "BLINDSIGHT_POLICY": str(policy),
        "BLINDSIGHT_ENCLAVE": enclave_address,
        # The enclave creates the file when it starts.
        "BLINDSIGHT_ENCLAVE_SECRET_FILE": str(state / "enclave" / "gateway_secret"),
        "BLINDSIGHT_PORT": str(ports.http),
        "BLINDSIGHT_METRICS_PORT": str(ports.metrics),
    }
    if variant == "cape":
        settings |= {
            "BLINDSIGHT_DATABASE": f"sqlite:///{state / 'gateway' / 'cape.sqlite'}",
            "BLINDSIGHT_BUNDLES": str(state / "gateway" / "bundles"),
            "BLINDSIGHT_CLASSIFIER_GRANT": str(provision.grant_file(state)),
            "BLINDSIGHT_SIGNUP_TOKENS_FILE": str(provision.signup_tokens(state)),
        }
    if ports.tls:
        tls = localca.ensure(state / "tls", _TLS_NAMES)
        settings |= {
            "BLINDSIGHT_TLS_PORT": str(ports.tls),
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
    ports: Ports,
    *,
    cape: bool,
    began: float,
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(lambda text: err.print(printable(text), style="yellow"))
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(start(supervisor))]
    try:
        waits = [
            asyncio.ensure_future(awaited)
            for awaited in (_ready(supervisor, ports), supervisor.failed.wait(), stop.wait())
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=_START_SECONDS)
        for wait in waits:
            wait.cancel()
        if stop.is_set():
            return _stopping()
        if supervisor.failed.is_set() or not waits[0].done() or waits[0].cancelled():
            return _not_up(supervisor, state)
        seconds = time.monotonic() - began
        prepared = None
        if cape:
            url, plain_url = f"https://localhost:{ports.tls}", f"http://127.0.0.1:{ports.http}"
            preparing = asyncio.create_task(
                asyncio.to_thread(provision.provision, state, state / "function.zip", url, plain_url)
            )
            waits = [asyncio.ensure_future(awaited) for awaited in (supervisor.failed.wait(), stop.wait())]
            await asyncio.wait((preparing, *waits), return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if stop.is_set() or supervisor.failed.is_set():
                # Its thread ends with the gateway. What it says then follows from that, and is of no interest.
                tasks.append(preparing)
                return _stopping() if stop.is_set() else _not_up(supervisor, state)
            try:
                prepared = preparing.result()
            except provision.NotProvisioned as error:
                return _failed(str(error), error.next_step)
            tasks.append(asyncio.create_task(_renew(state, plain_url)))
        supervisor.up = True
        confinement = await _confinement(ports.http)
        banner.show(chosen, state, ports, seconds=seconds, confinement=confinement, prepared=prepared)
        await stop.wait()
        return _stopping()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await supervisor.stop()


def _stopping() -> int:
    err.print("Stopping…")
    return 0


def _not_up(supervisor: Supervisor, state: Path) -> int:
    reason = supervisor.failure or f"the stack was not ready within {_START_SECONDS:g} s"
    next_step = f"look into {state / 'logs'}, or run `blindsight doctor`"
    if os.strerror(errno.EADDRINUSE) in reason:
        next_step = f"stop what listens there, or choose other ports, as in `make run {ports.others()}`"
    return _failed(reason, next_step)


def _failed(reason: str, next_step: str) -> int:
    err.print(f"error: {printable(reason)}", style="red")
    err.print(f"next:  {printable(next_step)}")
    return 1


async def _renew(state: Path, url: str) -> None:
    """Renew the local owner's token for the classifier regularly, so that it does not expire while the stack runs."""
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        with contextlib.suppress(BlindsightError, OSError):  # The next attempt is early enough.
            await asyncio.to_thread(provision.renew_grant, state, state / "function.zip", url)


async def _ready(supervisor: Supervisor, ports: Ports) -> None:
    """Return once this stack's own gateway is ready. What another program answers on its ports counts for nothing."""
    own = {ports.http, ports.tls, ports.metrics} - {0}
    async with routes.asynchronous(f"http://127.0.0.1:{ports.http}", timeout=_PROBE_SECONDS) as client:
        while True:
            try:
                pid = supervisor.pids.get("gateway")
                if pid and own <= listeners.ports_of(pid) and (await client.get("/readyz")).status_code == 200:
                    return
            except (httpx2.TransportError, OSError):  # It is starting, or it has ended.
                pass
            await asyncio.sleep(_POLL_SECONDS)


async def _confinement(port: int) -> dict[str, Any] | None:
    """The enclave's statement about the confinement of untrusted code; None if it cannot be fetched."""
    async with routes.asynchronous(f"http://127.0.0.1:{port}", timeout=_PROBE_SECONDS) as client:
        told: dict[str, Any] | None = (await client.get("/info")).json()["confinement"]
    return told


def _expanded(path: Path) -> Path:
    """Expand `~`, because no shell expands it in `make run STATE=~/…`."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- Path.expanduser() raises for a user who is not known


def _fresh(log: Path) -> Path:
    """Rename an existing log, so that a new one begins and the last one is kept. Returns the path."""
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
    log.touch()
    return log
