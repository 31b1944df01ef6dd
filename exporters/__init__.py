"""The five exporters, one module each, on one shared runtime."""
