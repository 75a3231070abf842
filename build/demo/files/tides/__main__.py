"""Runs the command line: python3 -m tides."""

import sys

from .cli import main

sys.exit(main())
