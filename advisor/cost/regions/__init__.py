"""Prices of electricity and carbon intensities of places."""
