"""The ffmpeg that is there, and how hard a video is to encode."""
