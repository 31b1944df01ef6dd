"""The Grafana dashboards, as code: `python -m grafana.build` writes the JSON that Grafana provisions."""
