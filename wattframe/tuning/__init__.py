"""The steps of ``wattframe tune``: samples of a video, encodes of them, the search, the answer."""
