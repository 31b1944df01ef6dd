"""The steps of ``wattframe tune``: samples of a video, encodes of them, the search, the answer."""

NOTEBOOK = "tune.json"
"""Lies in the outputs folder of the result file of a tune."""
