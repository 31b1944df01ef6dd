"""Which configuration to use, and how sure that is."""
