"""Energy: sources, the meter, attribution, calibration.

`advisor.energy.meter` is the way in; `powercap`, `hwmon`, `redfish` and `estimate` are its sources. GPUs have
a meter of their own, `gpu`.
"""
