"""What the servers saw: queries, and the power and CPU time that answer them."""

from advisor.prometheus.client import PrometheusClient

__all__ = ["PrometheusClient"]
