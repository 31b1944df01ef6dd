"""Basic authentication against bcrypt hashes, without bcrypt at every scrape."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping

import bcrypt

from exporters.runtime.lane import Lane

__all__ = ["PasswordGate"]

_KEPT = 256
"""Credentials whose check is remembered, right and wrong ones alike."""
_MOST_WAITING = 8
"""Checks in the queue; with more, a client is told to come back, so that guessing stays slow and cheap."""
_BCRYPT_BYTES = 72
"""What the algorithm looks at; tools that make hashes cut passwords there."""


class PasswordGate:
    """Lets in who knows a user's password.

    A check takes as long as its hash asks for, in one thread of its own, and for an unknown user as long as
    for a known one. What was checked is remembered under a keyed digest, never as text.
    """

    def __init__(self, users: Mapping[str, bytes], headers: bytes = b"") -> None:
        self.headers = headers
        self._users = dict(users)
        # a user that does not exist takes the same time as one that does
        self._nobody = next(iter(users.values()))
        self._key = secrets.token_bytes(32)
        self._checked: dict[bytes, bool] = {}
        self._waiting = 0
        self._lane = Lane("passwords")

    def known(self, authorization: bytes) -> bool | None:
        """What was found for these credentials before; what is no credential is wrong."""
        credentials = _credentials(authorization)
        return False if credentials is None else self._checked.get(self._digest(*credentials))

    def _digest(self, user: bytes, password: bytes) -> bytes:
        return hmac.digest(self._key, user + b":" + password, hashlib.sha256)

    async def admits(self, authorization: bytes) -> bool | None:
        """Whether the header's credentials are right; None when too many checks are waiting."""
        credentials = _credentials(authorization)
        if credentials is None:
            return False
        user, password = credentials
        digest = self._digest(user, password)
        known = self._checked.get(digest)
        if known is not None:
            return known
        if self._waiting >= _MOST_WAITING:
            return None
        self._waiting += 1
        try:
            right = await asyncio.shield(self._lane.submit(lambda: self._check(user, password)))
        finally:
            self._waiting -= 1
        if len(self._checked) >= _KEPT:
            self._forget()
        self._checked[digest] = right
        return right

    def _check(self, user: bytes, password: bytes) -> bool:
        hashed = self._users.get(user.decode("utf-8", "surrogateescape"))
        try:
            right = bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed or self._nobody)
        except ValueError:
            return False
        return right and hashed is not None

    def _forget(self) -> None:
        """Make room: guesses go, passwords that were right stay unless they are as many."""
        right = {digest: True for digest, was_right in self._checked.items() if was_right}
        self._checked = right if len(right) < _KEPT else {}

    def close(self) -> None:
        """Let the thread end; checks that wait are still answered."""
        self._lane.close(wait_seconds=0)


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
