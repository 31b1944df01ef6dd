"""One self-contained HTML page of a run: what it would save, the charts, the table, and the fine print.

Charts are SVG by matplotlib, so that a page shows everything without running a script: where scripts are
refused (in mail, on build servers) only sorting and the quicker hints are missing.
"""

import logging

# where a home cannot be written it says so in two lines before every answer
logging.getLogger("matplotlib").setLevel(logging.ERROR)
