"""Assembles the enclave from its parts, runs it, and stops it without losing an answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blindsight.errors import ProducerError
from blindsight.loglines import LineHandler
from blindsight.receipts import ReceiptKey
from blindsight.wire.address import listen
from enclave_runtime import function as functions
from enclave_runtime.access import guarded, load_or_create
from enclave_runtime.archive import BadBundle
from enclave_runtime.bytecode import Bytecode
from enclave_runtime.confinement import hardening
from enclave_runtime.confinement.warden import Warden
from enclave_runtime.evidence import choice
from enclave_runtime.inner import InnerApi
from enclave_runtime.keys import LaneKeys
from enclave_runtime.kms.released import Released, obtain
from enclave_runtime.server import EnclaveServer
from enclave_runtime.workers.pool import PoolLimits, WorkerPool

if TYPE_CHECKING:
    from pathlib import Path

    from blindsight.wire.address import Address
    from enclave_runtime.cape.service import CapeService
    from enclave_runtime.evidence.choice import Evidence
    from enclave_runtime.evidence.producer import EvidenceProducer
    from enclave_runtime.function import Function
    from enclave_runtime.kms.settings import KmsSettings
    from enclave_runtime.variants import Variant

_log = logging.getLogger(__name__)

_DRAIN_SECONDS = 20.0

_SWITCH_SECONDS = 0.001
"""Seconds after which Python switches threads (`sys.setswitchinterval`). Its default of 5 ms delays the event loop."""


@dataclass(frozen=True)
class Options:
    """The options of the command line (`enclave_runtime/commands.py`). Times are in seconds, memory in bytes."""

    bundle: Path | None
    function_checksum: bytes | None
    listen: Address
    state: Path
    gateway_secret: Path | None
    workers: int
    queue: int
    call_seconds: float
    key_seconds: float
    variant: Variant
    evidence: Evidence
    handler_seconds: float
    handler_memory: int
    bundle_memory: int
    confined_bytes: int
    without_layers: tuple[str, ...]
    landlock_abi: int | None
    require_confinement: bool
    kms: KmsSettings | None
    boot_config: str | None


async def serve(options: Options) -> int:
    """Run the enclave until SIGTERM or SIGINT, then answer the running requests. Returns the exit status 0.

    If it cannot start, raises `BadBundle` for the bundle, `FunctionBroken` for the function, `OSError` for files and
    the socket, or `BlindsightError` for evidence, confinement and KMS.
    """
    _log_as_json()
    sys.setswitchinterval(_SWITCH_SECONDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    secret = load_or_create(options.gateway_secret) if options.gateway_secret else None
    if secret is None:
        _log.warning("open port: any program that reaches it may ask the enclave")
    # Confined processes have their own user ids and must be able to read their files, whatever the operator's umask.
    os.umask(0o022)
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(Bytecode(options.variant))
        # Before threads exist, because the warden tests its layers in a forked process.
        warden = Warden.appoint(
            total_bytes=options.confined_bytes,
            without=options.without_layers,
            landlock_abi=options.landlock_abi,
            hidden=[options.state],
        )
        warden.bytecode = kept.folder
        stack.callback(warden.close)
        filling = asyncio.create_task(kept.wait())
        stack.callback(filling.cancel)
        hardening.close_memory()
        producer = choice.producer(options.evidence, options.state, options.variant)
        check_promise(warden, kind=producer.kind, required=options.require_confinement)
        released = await _released(options, producer)
        function = _function(options, released)
        stack.callback(function.remove)
        # Before evidence is given to any party except KMS, which released the bundle's key. From here on no program in
        # this enclave can claim another function.
        choice.bind(producer, function=function.checksum, model=function.model_digest)
        root_secret = await _root_secret(options, released)
        limits = PoolLimits(
            workers=options.workers,
            processors=os.cpu_count() or 1,
            queue=options.queue,
            call_seconds=options.call_seconds,
        )
        async with contextlib.AsyncExitStack() as running:
            cape = _cape(options, producer, warden, function, root_secret)
            if cape is not None:
                running.push_async_callback(cape.aclose)
            pool = await running.enter_async_context(WorkerPool(function, warden, limits))
            receipt_key = ReceiptKey()
            enclave = EnclaveServer(
                function,
                LaneKeys(key_seconds=options.key_seconds),
                producer,
                pool=pool,
                confinement=warden.summary(),
                api=InnerApi(function, pool, cape, receipt_key),
                cape=cape,
                receipt_key=receipt_key.thumbprint,
            )
            # The socket opens before the workers are warm, since evidence and status do not need them.
            handle = guarded(enclave.handle, secret) if secret else enclave.handle
            listener = await listen(options.listen, handle)
            running.callback(listener.close)
            _log.info("listening", extra={"function_checksum": function.checksum.hex(), "evidence": options.evidence})
            await _warm_or_stopped(pool, stop)
            await stop.wait()
            listener.close()
            await enclave.drain(_DRAIN_SECONDS)
    return 0


async def _released(options: Options, producer: EvidenceProducer) -> Released | None:
    """What KMS releases to this enclave; None if it runs without KMS. Raises `KmsError`."""
    if options.kms is None or options.boot_config is None:
        return None
    return await asyncio.to_thread(
        obtain,
        options.kms,
        options.boot_config,
        producer,
        sealed_bundle=options.bundle,
        sealed_sha256=options.function_checksum,
        clock=lambda: datetime.now(UTC),
    )


async def _root_secret(options: Options, released: Released | None) -> bytes | None:
    """The root secret that KMS releases to a Cape host; None without KMS or Cape. Raises `KmsError`."""
    secret = None
    if released is not None:
        if options.variant == "cape":
            secret = await asyncio.to_thread(released.root_secret)
        _log.info("secrets released")
    return secret


def _function(options: Options, released: Released | None) -> Function:
    if released is not None and released.bundle is not None:
        with released.bundle.file as clear:
            return functions.load_private(clear, released.bundle.checksum)
    if options.bundle is None:
        raise BadBundle("there is no bundle")
    return functions.load(options.bundle, expected=options.function_checksum)


def _cape(
    options: Options, producer: EvidenceProducer, warden: Warden, function: Function, secret: bytes | None
) -> CapeService | None:
    """The Cape host; None in the variant without one. Raises `ProducerError` (`root_secret_unusable`)."""
    if options.variant != "cape":
        return None
    from enclave_runtime.cape.rootsecret import RootSecret  # noqa: PLC0415 -- no part of the other variant
    from enclave_runtime.cape.service import CapeService  # noqa: PLC0415 -- likewise

    return CapeService(
        RootSecret.load_or_create(options.state) if secret is None else RootSecret(secret),
        producer,
        warden,
        call_seconds=options.handler_seconds,
        memory_bytes=options.handler_memory,
        bundle_bytes=options.bundle_memory,
        classifier_checksum=function.checksum,
    )


def check_promise(warden: Warden, *, kind: str, required: bool) -> None:
    """Log the gaps in confinement on this machine.

    Raises `ProducerError` (`not_confined`) if there are gaps, unless the evidence is simulated (`kind`) and
    confinement is not `required`.
    """
    if not warden.gaps:
        return
    text = "; ".join(warden.gaps)
    _log.warning("confinement is incomplete", extra={"gaps": text})
    if required or kind != "simulated":
        raise ProducerError("not_confined", f"Untrusted code cannot be confined here: {text}.")


async def _warm_or_stopped(pool: WorkerPool, stop: asyncio.Event) -> None:
    started, stopped = asyncio.ensure_future(pool.wait_started()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            started.result()
            _log.info("warm")
    finally:
        started.cancel()
        stopped.cancel()


class _JsonFormatter(logging.Formatter):
    """Formats records as one line of JSON. Of exceptions only the type is logged: messages may contain input."""

    _OURS = ("enclave_runtime", "blindsight")
    _EXTRAS = ("function_checksum", "evidence", "exit_status", "exception", "gaps", "reason")

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "unit": "enclave",
            # Messages of libraries may contain input.
            "event": record.getMessage() if record.name.startswith(self._OURS) else f"a message of {record.name}",
        }
        entry |= {name: getattr(record, name) for name in self._EXTRAS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0]:
            entry["exception"] = record.exc_info[0].__name__
        return json.dumps(entry)


def _log_as_json() -> None:
    logging.basicConfig(level=logging.INFO, handlers=[LineHandler(_JsonFormatter())])
