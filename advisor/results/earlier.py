"""Scenarios of earlier suites, in the names of version 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

_LARGEST = 1e15
_APIS = (
    *("nvenc", "qsv", "vaapi", "amf", "videotoolbox", "vulkan", "d3d12va"),
    *("rkmpp", "v4l2m2m", "mediacodec", "omx"),
)
"""What is in the names of ffmpeg's encoders that run on a device."""
_DEVICES = ("gpu", "nvidia", "cuda")
"""What suites called such a device."""
_PROCESSORS = ("cpu", "software", "no")
"""How words for a processor begin, whatever device they deny."""


def from_earlier(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same scenario in the names of version 1.

    Earlier suites wrote the power series as top-level lists with one step, outputs as ``null`` or as the
    ladder of one stream, and bitrates as text or as numbers (kbit/s).
    """
    out = {k: v for k, v in document.items() if v is not None and v != "N/A"}
    out |= _bitrate_as_text(out)
    outputs = out.get("outputs")
    if isinstance(outputs, list):
        out["outputs"] = [_bitrate_as_text(o) for o in outputs]
    power = out.get("power")
    if isinstance(power, dict):
        out["power"] = {"domains": {}, **{k: v for k, v in power.items() if v is not None}}
    watts, cores = out.pop("power_watts", None), out.pop("cpu_usage_cores", None)
    step, start = out.pop("step_seconds", None), out.get("start_time")
    if "samples" not in out and (watts is not None or cores is not None):
        lists = {"power_watts": watts, "cpu_usage_cores": cores}
        for key, value in lists.items():
            if value is not None and not isinstance(value, list):
                raise ValueError(f"Expected `array`, got `{kind_of_json(value)}` - at `$.{key}`")
        length = max(len(v) for v in lists.values() if v is not None)
        if not _is_number(step) or step <= 0:
            raise ValueError("Expected `float` > 0 beside power_watts - at `$.step_seconds`")
        first = start if _is_number(start) else 0.0
        out["samples"] = {
            "timestamps": [first + i * step for i in range(length)],
            **{k: v for k, v in lists.items() if v is not None},
        }
    if "type" not in out and "baseline" in str(out.get("name", "")).lower():
        out["type"] = "baseline"
        # nothing was encoded, and 0 stood for that
        nothing = {"fps": 0, "resolution": "0x0", "vmaf_score": 0, "psnr_score": 0, "ssim_score": 0}
        out = {k: v for k, v in out.items() if k not in nothing or v != nothing[k]}
    if out.get("type") != "baseline" and "video_seconds" not in out:
        out |= _real_time(out)
    return _encoder_named(out)


def _real_time(out: Mapping[str, Any]) -> dict[str, Any]:
    """Earlier suites encoded in real time, and wrote only how long."""
    start, end, seconds = out.get("start_time"), out.get("end_time"), out.get("duration")
    if seconds is None and _is_number(start) and _is_number(end) and end > start:
        seconds = end - start
    return {} if seconds is None else {"video_seconds": seconds}


def _is_number(value: Any) -> TypeGuard[float]:
    """Whether ``value`` is a number of a size that measurements have."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _encoder_named(out: dict[str, Any]) -> dict[str, Any]:
    """``encoder_type`` also held an encoder's name, the tool's name or "none"; or is not there."""
    kind = out.get("encoder_type", out.get("encoder"))
    if not isinstance(kind, str) or kind in ("cpu", "gpu"):
        return out
    written = "" if kind.lower().startswith(_PROCESSORS) else kind.lower()
    on_device = any(api in written for api in _APIS)
    named = {"encoder": kind} if on_device or kind.startswith("lib") else {}
    gpu = on_device or any(word in written for word in _DEVICES)
    return {**named, **out, "encoder_type": "gpu" if gpu else "cpu"}


def _bitrate_as_text(record: Any) -> Any:
    bitrate = record.get("bitrate") if isinstance(record, dict) else None
    if _is_number(bitrate):
        return {**record, "bitrate": f"{bitrate:.15g}k"}
    return record


def kind_of_json(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "str", bool: "bool", int: "int", float: "float"}
    return kinds.get(type(value), "null")
