"""Energy: sources, the meter, attribution."""
