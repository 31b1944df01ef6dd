"""Quality of an encode against its reference: VMAF, PSNR, SSIM and XPSNR of frames that belong together.

The names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.quality.psnr import compute_psnr
    from advisor.quality.vmaf_integration import compute_quality, compute_vmaf

_HOMES = {
    "compute_psnr": "advisor.quality.psnr",
    "compute_quality": "advisor.quality.vmaf_integration",
    "compute_vmaf": "advisor.quality.vmaf_integration",
}

__all__ = ["compute_psnr", "compute_quality", "compute_vmaf"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advisor.quality' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
