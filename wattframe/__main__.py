"""``python -m wattframe``."""

import sys

from wattframe.cli import main

sys.exit(main())
