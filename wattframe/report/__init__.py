"""One self-contained HTML page of a run: a summary, three charts, the advisor's answer, and the fine print.

Charts are SVG written here rather than by a plotting library: a page of some 100 kB with no script at all,
readable on a phone, in print, in the dark, and by a screen reader.
"""
