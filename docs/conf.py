"""The documentation as a site: ``scripts/docs``."""

project = "Wattframe"
author = "the Wattframe authors"
extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["images"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "Wattframe"
html_show_copyright = False
html_show_sphinx = False
