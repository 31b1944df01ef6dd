"""Certificates of one test: an authority and one certificate for both sides, as DOCKER_CERT_PATH has them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

__all__ = ["certificates"]


def certificates(folder: Path) -> Path:
    """``key.pem``, ``cert.pem`` for ``localhost`` and ``ca.pem`` in ``folder``."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("openssl cannot make a certificate here")
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())
    return folder
