"""The commands of ``wattframe``, one module each."""
