"""Models of power and energy, their intervals and their registry."""
