"""What the hosts, their GPUs and their containers draw."""

from __future__ import annotations

from grafana.boards.base import HOST, board
from grafana.panels import GREEN, ORANGE, RED, heading, level_bars, query, stat, thresholds, timeseries

__all__ = ["BOARD"]

_OF_HOST = '{instance=~"$host"}'
BOARD = board(
    "power",
    "Power",
    "Power of hosts, GPUs and containers.",
    [
        stat(
            "Power is",
            "Measured by energy counters, or modelled from CPU utilisation. Every figure based on "
            "modelled power is an estimate.",
            query(
                f"max by (instance, source, tier) (rapl_source_info{_OF_HOST})",
                "{{instance}} {{tier}} ({{source}})",
                now=True,
            ),
            unit="none",
            text="name",
        ),
        stat(
            "Counters readable",
            "1 if an energy counter of the host is readable.",
            query('min by (instance) (rapl_available{instance=~"$host"})', "{{instance}}", now=True),
            unit="bool_yes_no",
            limits=thresholds((1, GREEN), base=ORANGE),
        ),
        stat(
            "Energy, 24 hours",
            "The last 24 hours, packages plus memory.",
            query(
                'instance:rapl_energy_joules:increase1d{instance=~"$host"} / 3.6e6', "{{instance}}", now=True
            ),
            unit="kwatth",
        ),
        stat(
            "Estimate's uncertainty",
            "Uncertainty of the estimate (half-width); no data if power is measured.",
            query(
                'max by (instance) (rapl_estimate_uncertainty_ratio{instance=~"$host"})',
                "{{instance}}",
                now=True,
            ),
            unit="percentunit",
        ),
        stat(
            "Read errors, 1 hour",
            "Failed counter reads. No energy is lost as long as one read succeeds between two counter wraps.",
            query(
                'sum by (instance) (increase(rapl_read_errors_total{instance=~"$host"}[1h])) '
                'or 0 * max by (instance) (rapl_available{instance=~"$host"})',
                "{{instance}}",
                now=True,
            ),
            unit="none",
            limits=thresholds((1, ORANGE), (60, RED), base=GREEN),
        ),
        stat(
            "Wraps, 24 hours",
            "Counter wraps. They are accounted for; they are not resets.",
            query(
                'sum by (instance) (increase(rapl_counter_wraps_total{instance=~"$host"}[1d]))',
                "{{instance}}",
                now=True,
            ),
            unit="none",
        ),
        timeseries(
            "Packages",
            "Power of each socket, from its energy counter.",
            query(
                'rate(rapl_energy_joules_total{instance=~"$host", domain="package"}[$__rate_interval])',
                "{{instance}} {{zone}}",
            ),
            unit="watt",
            min=0,
        ),
        timeseries(
            "Memory",
            "Power of each socket's memory. It is not part of the package.",
            query(
                'rate(rapl_energy_joules_total{instance=~"$host", domain="dram"}[$__rate_interval])',
                "{{instance}} {{zone}}",
            ),
            unit="watt",
            min=0,
        ),
        timeseries(
            "Inside the packages",
            "Core and uncore. They are part of the package: do not add them to it.",
            query(
                'rate(rapl_energy_joules_total{instance=~"$host", domain=~"core|uncore"}[$__rate_interval])',
                "{{instance}} {{zone}}",
            ),
            unit="watt",
            min=0,
        ),
        timeseries(
            "GPUs",
            "Power of each GPU; no data without a GPU.",
            query('gpu_power_watts{instance=~"$host"}', "{{instance}} gpu {{gpu}}"),
            unit="watt",
            min=0,
        ),
        timeseries(
            "GPU utilisation",
            "Utilisation of the encoder, the decoder and the whole GPU.",
            query('gpu_encoder_utilization_ratio{instance=~"$host"}', "{{instance}} encoder {{gpu}}"),
            query('gpu_decoder_utilization_ratio{instance=~"$host"}', "{{instance}} decoder {{gpu}}"),
            query('gpu_utilization_ratio{instance=~"$host"}', "{{instance}} gpu {{gpu}}"),
            unit="percentunit",
            max=1,
            min=0,
        ),
        timeseries(
            "Host CPU",
            "Busy share of CPU time.",
            query(
                '1 - sum by (instance) (rate(node_cpu_seconds_total{instance=~"$host", mode=~"idle|iowait"}[$__rate_interval])) '
                '/ count by (instance) (count by (instance, cpu) (node_cpu_seconds_total{instance=~"$host"}))',
                "{{instance}}",
            ),
            unit="percentunit",
            max=1,
            min=0,
        ),
        heading("Containers"),
        timeseries(
            "Containers' power",
            "Energy of busy CPU time, divided by CPU time (policy active). Running and exited containers "
            "plus the unattributed rest add up to the hosts' power.",
            query(
                "sum by (instance, container) "
                '(rate(docker_container_energy_joules_total{instance=~"$host", policy="active"}[$__rate_interval]))',
                "{{instance}} {{container}}",
            ),
            query(
                "sum by (instance) "
                '(rate(docker_exited_containers_energy_joules_total{instance=~"$host", policy="active"}[$__rate_interval]))',
                "{{instance}} ended",
            ),
            query(
                "sum by (instance) "
                '(rate(docker_unattributed_energy_joules_total{instance=~"$host", policy="active"}[$__rate_interval]))',
                "{{instance}} unattributed",
            ),
            unit="watt",
            stacked=True,
            min=0,
        ),
        timeseries(
            "Containers' CPU",
            "100 % is one core.",
            query('docker_container_cpu_percent{instance=~"$host"}', "{{instance}} {{container}}"),
            unit="percent",
            min=0,
        ),
        level_bars(
            "Containers' energy over the page's time",
            "All energy including idle, divided by CPU time (policy full).",
            query(
                "sort_desc(sum by (instance, container) "
                '(increase(docker_container_energy_joules_total{instance=~"$host", policy="full"}[$__range])))',
                "{{instance}} {{container}}",
                now=True,
            ),
            unit="joule",
        ),
        timeseries(
            "Containers' memory",
            "Working set: memory in use without inactive file pages.",
            query(
                'docker_container_memory_working_set_bytes{instance=~"$host"}', "{{instance}} {{container}}"
            ),
            unit="bytes",
            min=0,
        ),
    ],
    [HOST],
    since="now-1h",
    refresh="5s",
)
