"""Runs real ffmpeg scenarios and measures them."""
