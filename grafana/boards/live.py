"""Streams that run now: how they look, what they draw, what an hour of them costs."""

from __future__ import annotations

from grafana.boards.base import VMAF_STEPS, board, variable
from grafana.panels import GREEN, ORANGE, RED, query, stat, table, thresholds, timeseries

__all__ = ["BOARD"]

STREAM = variable(
    "stream",
    "stream",
    "label_values(qoe_live_stream_info, stream)",
    "Live streams in the QoE exporter's list.",
    several=True,
)
_OF = '{stream=~"$stream"}'
_MADE = '{stream=~"$stream", rendition!="reference"}'
_FULL = '{stream=~"$stream", policy="full"}'
_EACH = "by (stream, rendition)"

BOARD = board(
    "live",
    "Live",
    "Running streams: quality, power and cost, worst first.",
    [
        stat(
            "Worst VMAF",
            "VMAF of the last windows of all renditions.",
            query(f"min(qoe_live_vmaf_score{_OF})", now=True),
            unit="none",
            limits=VMAF_STEPS,
        ),
        stat(
            "Lost",
            "Renditions and references without video in their last window.",
            query(f"count(qoe_live_up{_OF} == 0) or vector(0)", now=True),
            unit="none",
            limits=thresholds((1, RED), base=GREEN),
        ),
        stat(
            "Frozen or black",
            "Renditions frozen for three quarters of their last window.",
            query(f"count(qoe_live_frozen_ratio{_MADE} > 0.75) or vector(0)", now=True),
            unit="none",
            limits=thresholds((1, RED), base=GREEN),
        ),
        stat(
            "Power",
            "Mean power of the streams over five minutes, with a share of idle energy (policy full).",
            query(f"sum(stream:live_energy_watts:rate5m{_FULL})", now=True),
            unit="watt",
        ),
        stat(
            "Energy cost an hour",
            "All streams at the current price with PUE, in the cost exporter's currency.",
            query(f"sum(stream:live_energy_cost:per_hour{_FULL})", now=True),
            unit="none",
            decimals=4,
        ),
        stat(
            "Carbon an hour",
            "All streams at the current carbon intensity with PUE.",
            query(f"sum(stream:live_carbon_kg:per_hour{_FULL})", now=True),
            unit="masskg",
            decimals=4,
        ),
        table(
            "Streams",
            "The last window of each rendition, worst first. Offset is the delay behind the reference.",
            {
                "VMAF": (f"min {_EACH} (qoe_live_vmaf_score{_OF})", "none"),
                "PSNR": (f"min {_EACH} (qoe_live_psnr_score{_OF})", "dB"),
                "kbit/s": (f"max {_EACH} (qoe_live_bitrate_kbps{_MADE})", "none"),
                "frames a second": (f"max {_EACH} (qoe_live_frame_rate{_MADE})", "none"),
                "lines": (f"max {_EACH} (qoe_live_height_pixels{_MADE})", "none"),
                "offset": (f"max {_EACH} (qoe_live_offset_seconds{_OF})", "s"),
                "frozen": (f"max {_EACH} (qoe_live_frozen_ratio{_MADE})", "percentunit"),
                "up": (f"min {_EACH} (qoe_live_up{_MADE})", "none"),
                "age": (f"max {_EACH} (qoe_live_window_age_seconds{_MADE})", "s"),
            },
            keep=("stream", "rendition"),
            sort="VMAF",
            descending=False,
        ),
        timeseries(
            "VMAF",
            "VMAF of each window. Renditions that do not match the reference have none.",
            query(f"qoe_live_vmaf_score{_OF}", "{{stream}} {{rendition}}"),
            unit="none",
            limits=VMAF_STEPS,
            min=0,
            max=100,
        ),
        timeseries(
            "Bitrate received",
            "Video bitrate in each window.",
            query(f"qoe_live_bitrate_kbps{_OF} * 1000", "{{stream}} {{rendition}}"),
            unit="bps",
        ),
        timeseries(
            "Power",
            "Mean power of each stream over five minutes (policy full). One watt for an hour of stream is "
            "3600 J.",
            query(f"stream:live_energy_watts:rate5m{_FULL}", "{{stream}}"),
            unit="watt",
        ),
        timeseries(
            "Energy cost of a stream hour",
            "At the price of the time with PUE, in the cost exporter's currency.",
            query(f"stream:live_energy_cost:per_hour{_FULL}", "{{stream}}"),
            unit="none",
        ),
        timeseries(
            "Frozen, black, silent",
            "Share of each window that is frozen, black or silent.",
            query(f"qoe_live_frozen_ratio{_OF}", "{{stream}} {{rendition}} frozen"),
            query(f"qoe_live_black_ratio{_OF}", "{{stream}} {{rendition}} black"),
            query(f"qoe_live_silence_ratio{_OF}", "{{stream}} {{rendition}} silent"),
            unit="percentunit",
        ),
        timeseries(
            "CPU of monitoring",
            "Cores used by the windows, mean over ten minutes.",
            query("sum(rate(qoe_live_cpu_seconds_total[10m]))", "windows"),
            unit="none",
            limits=thresholds((1, ORANGE), base=GREEN),
        ),
    ],
    [STREAM],
    since="now-1h",
)
