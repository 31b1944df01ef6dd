"""The documentation as a site: ``scripts/docs``."""

project = "Wattframe"
author = "the Wattframe authors"
extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["images"]
myst_heading_anchors = 4
html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_title = "Wattframe"
html_show_copyright = False
html_show_sphinx = False

_REPOSITORY = "https://github.com/wattframe/wattframe/blob/main/"


def _link_the_repository(app, page, source):
    """Pages beside this folder are no part of the site: their links lead to the repository."""
    source[0] = source[0].replace("](../", f"]({_REPOSITORY}")


def setup(app):
    app.connect("source-read", _link_the_repository)
