"""Basic authentication against bcrypt hashes, without bcrypt at every scrape."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

_KEPT = 256
"""Credentials whose check is remembered, right and wrong ones alike."""
_MOST_WAITING = 8
"""Checks in the queue; with more, a client is told to come back, so that guessing stays slow and cheap."""
_MOST_SENT_AWAY, _PATIENCE_SECONDS = 10_000, 300.0
"""Credentials whose first coming is remembered, and for how long."""
_BCRYPT_BYTES = 72
"""What the algorithm looks at; tools that make hashes cut passwords there."""


class _Place(Struct, eq=False):
    """One who waits."""

    is_stranger: bool
    since: float
    """When these credentials came first, monotonic seconds."""
    digest: bytes
    turn: asyncio.Future[bool]


class Passwords:
    """Lets in who knows a user's password; without users, everybody.

    A check takes as long as its hash asks for, in a thread, one at a time; for an unknown user as long as for
    the costliest known one. What was checked is remembered under a keyed digest of hash and credentials,
    never as text: it holds as long as the user's hash is the same.

    Addresses from which a password was right go first, then credentials that were sent away before, the
    oldest first: who knows a password comes again with it, who guesses has another one.
    """

    def __init__(self, users: Mapping[str, bytes] | None = None) -> None:
        self.users = dict(users or {})
        """Names and hashes; may be replaced at any time."""
        self._key = secrets.token_bytes(32)
        self._checked: dict[bytes, bool] = {}
        self._trusted: dict[str, None] = {}
        self._busy = False
        self._waiting: list[_Place] = []
        self._sent_away: dict[bytes, float] = {}

    async def admits(self, authorization: bytes, address: str = "") -> bool | None:
        """Whether the header's credentials are right; None when too many checks are waiting."""
        if not self.users:
            return True
        credentials = _credentials(authorization)
        if credentials is None:
            return False
        user, password = credentials
        hashed = self.users.get(user.decode("utf-8", "surrogateescape"))
        costliest = max(self.users.values(), key=_cost)
        compared = hashed or costliest
        digest = hmac.digest(self._key, b"%b:%b:%b" % (compared, user, password), hashlib.sha256)
        verdict = self._checked.get(digest)
        if verdict is not None:
            return verdict
        if not await self._turn(address, digest):
            return None
        try:
            most = _cost(costliest)
            right = await _in_thread(lambda: _matches(password, compared, most)) and hashed is not None
        finally:
            self._next()
        if len(self._checked) >= _KEPT:
            self._forget()
        self._checked[digest] = right
        if right:
            self._trusted = {**dict(list(self._trusted.items())[-_KEPT:]), address: None}
        return right

    async def _turn(self, address: str, digest: bytes) -> bool:
        """Wait until no other check is done; False for who is sent away."""
        if not self._busy:
            self._busy = True
            return True
        now = time.monotonic()
        since = self._sent_away.get(digest, now)
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        place = _Place(address not in self._trusted, since, digest, turn)
        self._waiting = sorted([*self._waiting, place], key=lambda place: (place.is_stranger, place.since))
        if len(self._waiting) > _MOST_WAITING - 1:  # one is being checked
            last = self._waiting.pop()
            last.turn.set_result(False)
            if len(self._sent_away) >= _MOST_SENT_AWAY:
                self._sent_away = {d: at for d, at in self._sent_away.items() if now - at < _PATIENCE_SECONDS}
            if len(self._sent_away) < _MOST_SENT_AWAY:
                self._sent_away.setdefault(last.digest, last.since)
        try:
            return await turn
        except asyncio.CancelledError:
            self._waiting = [other for other in self._waiting if other is not place]
            if turn.done() and not turn.cancelled() and turn.result():
                self._next()  # it had the turn already
            raise

    def _next(self) -> None:
        """Give the turn to the first who waits."""
        waiting = [place for place in self._waiting if not place.turn.done()]
        self._busy = bool(waiting)
        if waiting:
            first = waiting.pop(0)
            self._sent_away.pop(first.digest, None)
            first.turn.set_result(True)
        self._waiting = waiting

    def _forget(self) -> None:
        """Make room: guesses go, passwords that were right stay unless they are as many."""
        right = {digest: True for digest, was_right in self._checked.items() if was_right}
        self._checked = right if len(right) < _KEPT else {}


def _cost(hashed: bytes) -> int:
    """The logarithm of the work that bcrypt does for a hash."""
    return int(hashed[4:6] or b"0")


def _matches(password: bytes, hashed: bytes, most_cost: int) -> bool:
    """Whether the password is that of the hash; takes as long as for one of ``most_cost``."""
    import bcrypt  # here, because most have no passwords, and it takes 1 MB

    cost = _cost(hashed)
    try:
        right = bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed)
        for more in range(cost, most_cost):  # 2^c + (2^c + 2^(c+1) + ... + 2^(m-1)) = 2^m
            bcrypt.checkpw(password[:_BCRYPT_BYTES], b"$2b$%02d$%b" % (more, hashed[7:]))
    except ValueError:
        return False
    return right


def _in_thread(function: Callable[[], bool]) -> asyncio.Future[bool]:
    """The result of ``function`` from a daemon thread: a check of minutes does not keep the process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bool] = loop.create_future()

    def deliver(result: bool) -> None:
        if not future.done():
            future.set_result(result)

    def work() -> None:
        result = function()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(deliver, result)

    threading.Thread(target=work, name="password", daemon=True).start()
    return future


def _credentials(authorization: bytes) -> tuple[bytes, bytes] | None:
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = decoded.partition(b":")
    return (user, password) if colon else None
