"""Whose a key id is. A sealed message names its key by an id of one byte (RFC 9458), by which a gateway delivers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.enclave.member import Member

_TOGETHER_SECONDS: Final = 10.0
"""An id that a second enclave has within this time, too, is contested: another gateway may have seen that one first."""


class KeyIds:
    """Gives each key id to one enclave. All others are to replace keys with this id.

    An enclave keeps an id as long as it has a key with it, published or replaced, even if it is away: no message may
    reach another enclave, which its caller has not verified. An id that two came to have together belongs to none until
    only one of them has it.
    """

    def __init__(self) -> None:
        self._owners: dict[int, Member | None] = {}
        """None for those that belong to none."""
        self._since: dict[int, float] = {}
        self._seen: dict[Member, tuple[frozenset[int], frozenset[int], bool]] = {}
        """Of each enclave its key ids, those of enclaves before it, and whether it is there and verified."""

    def claim(self, members: Sequence[Member], gone: Iterable[Member], now: float) -> None:
        """Follow the keys of `members`, and of enclaves that are `gone`. `now` is `time.monotonic()` in seconds."""
        seen = {member: _seen(member, now, is_there=True) for member in members}
        seen |= {member: _seen(member, now, is_there=False) for member in gone}
        if seen == self._seen:
            return
        self._seen = seen
        holders: dict[int, tuple[list[Member], list[Member]]] = {}
        for member, (held, lost, _) in seen.items():
            for key_ids, which in ((held, 0), (lost, 1)):
                for key_id in key_ids:
                    holders.setdefault(key_id, ([], []))[which].append(member)
        self._since = {key_id: self._since.get(key_id, now) for key_id in holders}
        self._owners = {key_id: self._owner_of(key_id, *found, now) for key_id, found in holders.items()}

    def is_known(self, member: Member, now: float) -> bool:
        """Whether this enclave's keys are as they were at the last claim."""
        return self._seen.get(member) == _seen(member, now, is_there=True)

    def owner(self, key_id: int) -> Member | None:
        """The enclave that gets messages to this key."""
        return self._owners.get(key_id)

    def lead_to(self, member: Member, now: float) -> bool:
        """Whether it publishes keys, and their ids are its own."""
        key_ids = member.published_key_ids(now)
        return bool(key_ids) and all(_is_one(self._owners.get(key_id), member) for key_id in key_ids)

    def taken_from(self, member: Member) -> frozenset[int]:
        """The key ids that `member` is not to use."""
        owners = self._owners.items()
        return frozenset(key_id for key_id, owner in owners if owner is not member and not _is_one(owner, member))

    def _owner_of(self, key_id: int, having: list[Member], lost_by: list[Member], now: float) -> Member | None:
        """`having`: all that have a key with this id. `lost_by`: addresses of enclaves that had one and have ended."""
        before = self._owners.get(key_id)
        if not lost_by and all(_is_one(having[0], member) for member in having):
            return self._addressee(having, before)
        if before is None or before in lost_by or now - self._since[key_id] < _TOGETHER_SECONDS:
            return None
        own = [member for member in having if _is_one(before, member)]
        return self._addressee(own, before) if own else None

    def _addressee(self, addresses: list[Member], before: Member | None) -> Member:
        """Of several addresses of one enclave, one at which it is there."""
        if before in addresses and self._seen[before][2]:
            return before
        return next((member for member in addresses if self._seen[member][2]), addresses[0])


def _is_one(member: Member | None, other: Member) -> bool:
    """Whether both are one enclave: a name may have several addresses of it."""
    return member is other or (member is not None and member.instance is not None and member.instance == other.instance)


def _seen(member: Member, now: float, *, is_there: bool) -> tuple[frozenset[int], frozenset[int], bool]:
    key_ids = member.key_ids(now)
    return key_ids, member.lost_key_ids(now), is_there and member.enclave.known is not None
