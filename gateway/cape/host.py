"""The gateway's part of the Cape host.

Only a gateway with a Cape host imports it: with SQLAlchemy, its imports take a quarter of the time of a start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.cape import bundles, device, device_page, relay, rest
from gateway.cape.enclaves import CapeEnclaves
from gateway.cape.grant import ClassifierGrant
from gateway.cape.services import CapeServices, Sessions
from gateway.cape.store import Store
from gateway.services import SignupAuthenticator, in_background
from gateway.tokens import TokenStore

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from starlette.requests import Request

    from gateway.admission import Places
    from gateway.audit.log import Audit
    from gateway.enclave.fleet import Fleet
    from gateway.metrics import Metrics
    from gateway.services import Services
    from gateway.settings import Settings

ROUTERS: Final = tuple(module.router for module in (rest, device, device_page, relay))


async def start(services: Services, cape: CapeServices, running: contextlib.AsyncExitStack) -> None:
    """Start the background tasks of the Cape host; they end with `running`."""
    running.push_async_callback(cape.store.close)
    await cape.bundles.sweep(await cape.store.function_ids())
    if cape.signup_tokens is not None:
        await running.enter_async_context(in_background(cape.signup_tokens.watch(services.audit, purpose="signup")))
    await running.enter_async_context(in_background(cape.enclave.watch()))
    grant = services.settings.classifier_grant
    if grant is not None:
        presented = ClassifierGrant(grant, cape.enclave, cape.store, services.audit)
        await running.enter_async_context(in_background(presented.watch()))


def services(
    settings: Settings,
    fleet: Fleet,
    *,
    metrics: Metrics,
    tokens: TokenStore | None,
    evidence_places: Places,
    audit: Audit,
) -> CapeServices | None:
    """The services of the Cape routes; None without a database. Raises `StoreUnusable`, `BadTokenFile`."""
    if settings.database is None or settings.bundles is None:
        return None
    own = TokenStore.load(settings.signup_tokens_file) if settings.signup_tokens_file else None
    store = Store(settings.database)
    return CapeServices(
        store=store,
        bundles=bundles.store_at(settings.bundles),
        enclave=CapeEnclaves(fleet, store, evidence_places, deadline=settings.deadline),
        may_sign_up=_may_sign_up(settings, own or tokens, metrics),
        signup_tokens=own,
        sessions=Sessions(settings.max_sessions, metrics.sessions),
        idle_seconds=settings.idle_seconds,
        audit=audit,
    )


def _may_sign_up(settings: Settings, tokens: TokenStore | None, metrics: Metrics) -> Callable[[Request], None]:
    if settings.open_signup:
        return lambda _: None
    return SignupAuthenticator(tokens, metrics).authenticate
