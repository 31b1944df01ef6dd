"""Basic authentication against bcrypt hashes, without bcrypt at every scrape.

Credentials have one verdict: it is remembered, or it is being found out, one after the other. In the queue,
addresses from which a password was right go first, then who came first. Who is sent away keeps the place: who
knows a password comes again with it, who guesses has another one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import bisect
import contextlib
import hashlib
import hmac
import itertools
import secrets
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from msgspec import Struct

_KEPT = 256
"""Credentials whose check is remembered, of the right ones and of the wrong ones."""
_MOST_WAITING = 8
"""Checks at once; with more, a client is told to come back, so that guessing stays slow and cheap."""
_MOST_SENT_AWAY = 10_000
_BCRYPT_BYTES = 72
"""What the algorithm looks at; tools that make hashes cut passwords there."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Newest(dict[K, V]):
    """The entries that were made last, up to a number."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self._most:
            del self[next(iter(self))]


class _Check(Struct, eq=False):
    """Credentials whose verdict is not known yet."""

    place: tuple[bool, int]
    """In the queue: whether the address is a stranger's, and the number of the first coming."""
    digest: bytes
    address: str
    is_right: Callable[[], bool]
    verdict: asyncio.Future[bool | None]


class Passwords:
    """Lets in who knows a user's password; without users, everybody.

    A check takes as long as its hash asks for, for an unknown user as long as for the costliest known one.
    What was checked is remembered under a keyed digest of hash and credentials, never as text: it holds as
    long as the user's hash is the same.
    """

    def __init__(self, users: Mapping[str, bytes] | None = None) -> None:
        self.users = dict(users or {})
        """Names and hashes; may be replaced at any time."""
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bool, _Newest[bytes, None]] = {True: _Newest(_KEPT), False: _Newest(_KEPT)}
        self._trusted: _Newest[str, None] = _Newest(_KEPT)
        self._checks: list[_Check] = []
        """The first is being checked, the others wait in order."""
        self._came: _Newest[bytes, int] = _Newest(_MOST_SENT_AWAY)
        self._numbers = itertools.count()

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
        compared, most = hashed or costliest, _cost(costliest)
        # an unknown user's is of no hash: one that gets the hash of another later is checked then
        digest = hmac.digest(self._key, b"%b:%b:%b" % (hashed or b"", user, password), hashlib.sha256)
        for verdict, digests in self._remembered.items():
            if digest in digests:
                return verdict
        check = next((check for check in self._checks if check.digest == digest), None)
        if check is None:
            place = address not in self._trusted, self._came.get(digest, next(self._numbers))
            check = _Check(
                place,
                digest,
                address,
                lambda: _matches(password, compared, most) and hashed is not None,
                asyncio.get_running_loop().create_future(),
            )
            self._queue(check)
        return await asyncio.shield(check.verdict)

    def _queue(self, check: _Check) -> None:
        """Check it now or in its turn, or send the last one away."""
        bisect.insort(self._checks, check, lo=min(len(self._checks), 1), key=lambda check: check.place)
        if len(self._checks) == 1:
            self._begin()
        elif len(self._checks) > _MOST_WAITING:
            last = self._checks.pop()
            self._came[last.digest] = last.place[1]
            last.verdict.set_result(None)

    def _begin(self) -> None:
        loop, check = asyncio.get_running_loop(), self._checks[0]

        def work() -> None:
            right = None
            try:
                right = check.is_right()
            finally:
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._end, check, right)

        try:
            # a daemon: a check of minutes does not keep the process alive
            threading.Thread(target=work, name="password", daemon=True).start()
        except RuntimeError:  # no more threads
            loop.call_soon(self._end, check, None)

    def _end(self, check: _Check, right: bool | None) -> None:
        """Tell the verdict, None of a check that broke, and begin the next."""
        if right is not None:
            self._remembered[right][check.digest] = None
        if right:
            self._trusted[check.address] = None
        self._checks.remove(check)
        check.verdict.set_result(right)
        if self._checks:
            self._begin()


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
    return bool(right)


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
