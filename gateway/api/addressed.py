"""The parameter `enclave`: which of the gateway's enclaves a caller means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Query

from blindsight.problems import Problem

if TYPE_CHECKING:
    from fastapi import Request

    from gateway.enclave.fleet import Fleet
    from gateway.enclave.member import Member

EnclaveId = Annotated[
    str | None,
    Query(
        description="The id of one of the enclaves in `/info`; without it one is chosen, the same for each of your"
        " calls as long as it serves.",
        pattern="^[0-9a-f]{16}$",
        examples=["4f1c0e8b7a2d9635"],
    ),
]


def addressed(request: Request, fleet: Fleet, enclave_id: str | None) -> Member:
    """The enclave with this id, or the one that is offered to this caller. Raises `Problem`."""
    if enclave_id is not None:
        return fleet.member(enclave_id)
    return fleet.offered(caller_of(request))


def caller_of(request: Request) -> str:
    """The caller's address, by which callers are shared out among the enclaves."""
    return request.client.host if request.client else ""


def key_ids_are_taken() -> Problem:
    """For keys that are not given out, because messages to them would be delivered to another enclave."""
    return Problem("enclave_unavailable", "The enclave replaces its keys, whose ids are another enclave's, too.")
