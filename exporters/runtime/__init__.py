"""The shared runtime of the exporters: collectors in, an HTTP server out."""
