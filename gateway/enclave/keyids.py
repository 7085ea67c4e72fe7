"""Whose a key id is. A sealed message names its key by an id of one byte (RFC 9458), by which a gateway delivers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.enclave.member import Member

_TOGETHER_SECONDS: Final = 10.0
"""An id that a second enclave has within this time, too, is contested: another gateway may have seen that one first."""
_CONTEST_SECONDS: Final = 150.0
"""Callers rely on evidence for two minutes. After this time none has evidence from before the contest."""


class KeyIds:
    """Gives each key id to one enclave. All others are to replace keys with this id.

    An enclave keeps an id as long as it has a key with it, published or replaced, even if it is away: no message may
    reach another enclave, which its caller has not verified. A contested id belongs to none.
    """

    def __init__(self) -> None:
        self._owners: dict[int, Member | None] = {}
        """None for those that are contested."""
        self._since: dict[int, float] = {}
        self._contests: dict[int, float] = {}
        self._seen: dict[Member, tuple[frozenset[int], bool]] = {}
        """Of each enclave the key ids, and whether it is there and verified."""

    def claim(self, members: Sequence[Member], gone: Iterable[Member], now: float) -> None:
        """Follow the keys of `members`, and of enclaves that are `gone`. `now` is `time.monotonic()` in seconds."""
        seen = {member: (member.key_ids(now), member.enclave.known is not None) for member in members}
        seen |= {member: (member.key_ids(now), False) for member in gone}
        if seen == self._seen and not any(now - begin >= _CONTEST_SECONDS for begin in self._contests.values()):
            return
        self._seen = seen
        holders: dict[int, list[Member]] = {}
        for member, (key_ids, _) in seen.items():
            for key_id in key_ids:
                holders.setdefault(key_id, []).append(member)
        self._since = {key_id: self._since.get(key_id, now) for key_id in holders}
        self._contests = {key_id: begin for key_id, begin in self._contests.items() if key_id in holders}
        self._owners = {key_id: self._owner_of(key_id, having, now) for key_id, having in holders.items()}

    def owner(self, key_id: int) -> Member | None:
        """The enclave that gets messages to this key."""
        return self._owners.get(key_id)

    def lead_to(self, member: Member, now: float) -> bool:
        """Whether the ids of its published keys are this enclave's."""
        return all(_is_one(self._owners.get(key_id), member) for key_id in member.published_key_ids(now))

    def taken_from(self, member: Member) -> frozenset[int]:
        """The key ids that `member` is not to use."""
        return frozenset(key_id for key_id, owner in self._owners.items() if not _is_one(owner, member))

    def _owner_of(self, key_id: int, having: list[Member], now: float) -> Member | None:
        """`having`: all that have a key with this id."""
        before = self._owners.get(key_id)
        if all(_is_one(having[0], member) for member in having):
            self._contests.pop(key_id, None)
            return self._addressee(having, before)
        own = [member for member in having if _is_one(before, member)]
        if own and now - self._since[key_id] >= _TOGETHER_SECONDS:
            return self._addressee(own, before)
        begin = self._contests.setdefault(key_id, now)
        publishing = [member for member in having if self._seen[member][1] and key_id in member.published_key_ids(now)]
        if now - begin < _CONTEST_SECONDS or not publishing:
            return None
        # It goes on because they ignore what they are told, or there are no ids left. All gateways choose the same one.
        del self._contests[key_id]
        return publishing[0]

    def _addressee(self, addresses: list[Member], before: Member | None) -> Member:
        """Of several addresses of one enclave, one at which it is there."""
        if before in addresses and self._seen[before][1]:
            return before
        return next((member for member in addresses if self._seen[member][1]), addresses[0])


def _is_one(member: Member | None, other: Member) -> bool:
    """Whether both are one enclave: a name may have several addresses of it."""
    return member is other or (member is not None and member.instance is not None and member.instance == other.instance)
