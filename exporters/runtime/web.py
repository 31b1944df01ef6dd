"""The web configuration in force, and its exchange when a file changes."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.runtime.app import Gate, Open

if TYPE_CHECKING:
    from exporters.runtime.web_config import WebConfig

__all__ = ["Web"]

_Stamp = tuple[int, int, int] | None


class Web:
    """What a web configuration file asks for; without a file, an open door.

    Raises
    ------
    InputError
        The file, or a certificate that it names, cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.gate: Gate = Open()
        self.context: ssl.SSLContext | None = None
        self.allowed_sans: Sequence[str] = ()
        self._seen: dict[Path, _Stamp] = {}
        self.reload()

    def reload(self) -> bool:
        """Read again what changed; whether anything did. A file that is refused changes nothing.

        Raises
        ------
        InputError
            As the constructor; not again before a file changes once more.
        """
        if self.path is None or (self._seen and all(_stamp(p) == s for p, s in self._seen.items())):
            return False
        # here, because yaml and bcrypt take 3 MB and a tenth of the start, and most have no such file
        from exporters.runtime.web_config import read_web_config, ssl_context

        # stamped before reading, so that a change in between is seen next time
        self._seen = {path: _stamp(path) for path in {self.path, *self._seen}}
        config = read_web_config(self.path)
        self._seen |= {path: _stamp(path) for path in config.files if path not in self._seen}
        context = ssl_context(config.tls) if config.tls is not None else None
        self._take(config, context)
        self._seen = {path: self._seen[path] for path in (self.path, *config.files)}
        return True

    def _take(self, config: WebConfig, context: ssl.SSLContext | None) -> None:
        from exporters.runtime.passwords import PasswordGate

        former, self.context = self.gate, context
        headers = b"".join(b"%b: %b\r\n" % header for header in config.headers)
        self.gate = PasswordGate(config.users, headers) if config.users else Open(headers)
        self.allowed_sans = config.tls.allowed_sans if config.tls is not None else ()
        former.close()


def _stamp(path: Path) -> _Stamp:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns, info.st_ino
