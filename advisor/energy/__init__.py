"""Energy: sources, the meter, attribution, calibration.

`advisor.energy.meter` is the way in; `powercap`, `estimate` and `gpu` are its sources.
"""
