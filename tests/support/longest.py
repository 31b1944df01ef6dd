"""The files that take longest, those that wait between those that compute.

Begun first, no worker ends alone.
"""

from __future__ import annotations

__all__ = ["LONGEST"]

LONGEST = (
    "torture/test_everything.py",
    "advisor/regression/test_scikit_learn.py",
    "exporters/test_podman.py",
    "wattframe/test_retrain.py",
    "stack/test_docker_engine.py",
    "stack/test_prometheus.py",
    "torture/test_passing_trouble.py",
    "advisor/cost/test_provider_files.py",
    "stack/test_fleet.py",
    "wattframe/test_tune.py",
    "stack/test_up.py",
    "advisor/regression/test_registry.py",
    "torture/test_memory.py",
    "torture/test_ends.py",
)
