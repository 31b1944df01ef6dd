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
from collections.abc import Callable, Mapping

__all__ = ["Passwords"]

_KEPT = 256
"""Credentials whose check is remembered, right and wrong ones alike."""
_MOST_WAITING = 8
"""Checks in the queue; with more, a client is told to come back, so that guessing stays slow and cheap."""
_BCRYPT_BYTES = 72
"""What the algorithm looks at; tools that make hashes cut passwords there."""


class Passwords:
    """Lets in who knows a user's password; without users, everybody.

    A check takes as long as its hash asks for, in a thread, one at a time; for an unknown user as long as for
    the costliest known one. What was checked is remembered under a keyed digest of hash and credentials,
    never as text: it holds as long as the user's hash is the same.
    """

    def __init__(self, users: Mapping[str, bytes] | None = None) -> None:
        self.users = dict(users or {})
        """Names and hashes; may be replaced at any time."""
        self._key = secrets.token_bytes(32)
        self._checked: dict[bytes, bool] = {}
        self._waiting = 0
        self._one_at_a_time = asyncio.Lock()

    async def admits(self, authorization: bytes) -> bool | None:
        """Whether the header's credentials are right; None when too many checks are waiting."""
        if not self.users:
            return True
        credentials = _credentials(authorization)
        if credentials is None:
            return False
        user, password = credentials
        hashed = self.users.get(user.decode("utf-8", "surrogateescape"))
        compared = hashed or max(self.users.values(), key=lambda known: known[4:6])
        digest = hmac.digest(self._key, b"%b:%b:%b" % (compared, user, password), hashlib.sha256)
        known = self._checked.get(digest)
        if known is not None:
            return known
        if self._waiting >= _MOST_WAITING:
            return None
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                right = await _in_thread(lambda: _matches(password, compared)) and hashed is not None
        finally:
            self._waiting -= 1
        if len(self._checked) >= _KEPT:
            self._forget()
        self._checked[digest] = right
        return right

    def _forget(self) -> None:
        """Make room: guesses go, passwords that were right stay unless they are as many."""
        right = {digest: True for digest, was_right in self._checked.items() if was_right}
        self._checked = right if len(right) < _KEPT else {}


def _matches(password: bytes, hashed: bytes) -> bool:
    import bcrypt  # here, because most have no passwords, and it takes 1 MB

    try:
        return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed)
    except ValueError:
        return False


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
