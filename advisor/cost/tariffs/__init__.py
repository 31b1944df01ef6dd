"""Prices and intensities that change with time."""
