"""Containers of a Docker engine: who runs, what the kernel says they used, and their part of the energy.

::

    engine.py     the Engine API, errors translated at this edge
    watcher.py    two threads that keep the list of containers current and post what changed
    cgroups.py    control group files, v1, v2 and hybrid; processes.py the same for /proc
    clocks.py     CPU time that only grows: differences of readings, also of what ended unread
    exits.py      wakes the sampler when a container is about to be gone
    ledger.py     joules by container over the meter's windows; the sums hold
    monitor.py    the state: changes in, one snapshot per tick out (no thread, no engine)
    sampler.py    the thread that ticks
"""
