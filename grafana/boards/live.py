"""Streams that run now: how they look, what they draw, what an hour of them costs."""

from __future__ import annotations

from grafana.boards.base import VMAF_STEPS, board, variable
from grafana.panels import GREEN, ORANGE, RED, query, stat, table, thresholds, timeseries

__all__ = ["BOARD"]

STREAM = variable(
    "stream",
    "stream",
    "label_values(qoe_live_stream_info, stream)",
    "Live streams of the quality exporter's list.",
    several=True,
)
_OF = '{stream=~"$stream"}'
_MADE = '{stream=~"$stream", rendition!="reference"}'
_FULL = '{stream=~"$stream", policy="full"}'
_EACH = "by (stream, rendition)"

BOARD = board(
    "live",
    "Live",
    "Streams that run now: quality, watts and cost, worst first.",
    [
        stat(
            "Worst VMAF",
            "Of the last windows of all renditions.",
            query(f"min(qoe_live_vmaf_score{_OF})", now=True),
            unit="none",
            limits=VMAF_STEPS,
        ),
        stat(
            "Lost",
            "Renditions and references that did not come in their last window.",
            query(f"count(qoe_live_up{_OF} == 0) or vector(0)", now=True),
            unit="none",
            limits=thresholds((1, RED), base=GREEN),
        ),
        stat(
            "Frozen or black",
            "Renditions whose picture stood in three quarters of their last window.",
            query(f"count(qoe_live_frozen_ratio{_MADE} > 0.75) or vector(0)", now=True),
            unit="none",
            limits=thresholds((1, RED), base=GREEN),
        ),
        stat(
            "Power",
            "Of what makes the streams, idle energy shared in (policy full), over five minutes.",
            query(f"sum(stream:live_energy_watts:rate5m{_FULL})", now=True),
            unit="watt",
        ),
        stat(
            "Energy cost an hour",
            "Of all streams, at the price of now with PUE, in the cost exporter's currency.",
            query(f"sum(stream:live_energy_cost:per_hour{_FULL})", now=True),
            unit="none",
            decimals=4,
        ),
        stat(
            "Carbon an hour",
            "Of all streams, at the grid's intensity of now with PUE.",
            query(f"sum(stream:live_carbon_kg:per_hour{_FULL})", now=True),
            unit="masskg",
            decimals=4,
        ),
        table(
            "Streams",
            "The last window of each rendition, the worst first. Offset: by how much it comes later than the reference.",
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
            "Of each window; a rendition that cannot be compared has none.",
            query(f"qoe_live_vmaf_score{_OF}", "{{stream}} {{rendition}}"),
            unit="none",
            limits=VMAF_STEPS,
            min=0,
            max=100,
        ),
        timeseries(
            "Bitrate received",
            "Of the video, in each window.",
            query(f"qoe_live_bitrate_kbps{_OF} * 1000", "{{stream}} {{rendition}}"),
            unit="bps",
        ),
        timeseries(
            "Power",
            "Mean watts of each stream over five minutes (policy full). An hour of stream at one watt is 3600 J.",
            query(f"stream:live_energy_watts:rate5m{_FULL}", "{{stream}}"),
            unit="watt",
        ),
        timeseries(
            "Energy cost of a stream hour",
            "At the price of each moment with PUE, in the cost exporter's currency.",
            query(f"stream:live_energy_cost:per_hour{_FULL}", "{{stream}}"),
            unit="none",
        ),
        timeseries(
            "Frozen, black, silent",
            "Share of each window.",
            query(f"qoe_live_frozen_ratio{_OF}", "{{stream}} {{rendition}} frozen"),
            query(f"qoe_live_black_ratio{_OF}", "{{stream}} {{rendition}} black"),
            query(f"qoe_live_silence_ratio{_OF}", "{{stream}} {{rendition}} silent"),
            unit="percentunit",
        ),
        timeseries(
            "CPU of watching",
            "Cores that the windows take, over ten minutes.",
            query("sum(rate(qoe_live_cpu_seconds_total[10m]))", "windows"),
            unit="none",
            limits=thresholds((1, ORANGE), base=GREEN),
        ),
    ],
    [STREAM],
    since="now-1h",
)
