"""The local stack of ``wattframe up``: which services there are, Prometheus' configuration, and who keeps
them running."""
