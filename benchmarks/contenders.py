"""The contenders of a run. Each is started once and stopped (SIGSTOP) while others take their turns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import figures, instrument, stack
from benchmarks.environments import PEERS, Environment
from benchmarks.processes import StackError, freeze
from benchmarks.turn import Contender

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.instrument import Instrument
    from benchmarks.plan import Plan

PLAIN = PEERS["fastapi"].name
BARE_LOOP = "bare loop"
OURS = stack.OURS
SEALED, CAPE = f"{OURS}, sealed by the caller", f"{OURS}, Cape's WebSocket"

_CAPE_CALLERS = 4
"""Upper limit, because each Cape client has a process with a model of its own."""


@dataclass(frozen=True)
class Starter:
    """Starts contenders, which end with `services`. `missing` gets each peer that does not start, with the reason."""

    plan: Plan
    environments: list[Environment]
    missing: dict[str, str]
    generator: Instrument
    work: Path
    services: contextlib.ExitStack
    say: Callable[[str], None]

    def start(self) -> list[Contender]:
        """Start bare loop, our lanes and the peers for each precision.

        Raises `StackError` if the bare loop or our stack does not start.
        """
        return [
            contender
            for precision, model in self.plan.models.items()
            for made in (self._bare, self._ours, self._peers)
            for contender in made(precision, model)
        ]

    @property
    def _whole(self) -> bool:
        """Whether throughput is measured. The other parts measure only our stack and the plain service."""
        return "throughput" in self.plan.parts

    def _bare(self, precision: str, model: Path) -> Iterator[Contender]:
        if self._whole:
            bare = self.services.enter_context(instrument.running("bare_loop", str(model), str(self.plan.photo)))
            bare.expect("ready")
            yield Contender(BARE_LOOP, figures.BARE, precision, bare)

    def _ours(self, precision: str, model: Path) -> Iterator[Contender]:
        self.say(f"starting {OURS}, {precision}")
        work = self.work / precision
        work.mkdir()
        bundle = stack.bundled(model, work)
        cape = self._whole and precision == self.plan.baseline
        settings = stack.store(work) if cape else {}
        service = self.services.enter_context(stack.blindsight(bundle, work, **settings))
        if cape:
            service = stack.with_cape(service, bundle, work)
        freeze(service.everyone())
        yield Contender(OURS, figures.OURS, precision, self.generator, service)
        yield Contender(SEALED, figures.OURS, precision, self.generator, service, "sealed")
        if cape:
            yield Contender(CAPE, figures.OURS, precision, self.generator, service, "cape", (1, _CAPE_CALLERS))

    def _peers(self, precision: str, model: Path) -> Iterator[Contender]:
        """Peers of one precision: all at the baseline, and only FastAPI at others."""
        whole = self._whole and precision == self.plan.baseline
        most = max(self.plan.lengths.callers)
        processors = os.cpu_count() or 1
        for environment in self.environments:
            peer = environment.peer
            if peer.name != PLAIN and not whole:
                continue
            settings = [(peer.name, 1, 0)]
            if self.plan.tuned and self._whole and processors > 1:
                settings.append((f"{peer.name}, {processors} workers of one thread", processors, 1))
            for name, workers, threads in settings:
                self.say(f"starting {name}, {precision}")
                folder = self.work / f"{peer.key}-{precision}-{workers}"
                try:
                    service = self.services.enter_context(environment.serving(name, model, folder, workers, threads))
                except StackError as error:
                    self.missing[name] = str(error)
                    self.say(f"missing: {error}")
                    continue
                freeze(service.everyone())
                least = 1 if workers == 1 else 2  # One caller keeps one worker busy, and so one processor.
                yield Contender(name, figures.PEER, precision, self.generator, service, callers=(least, most))
