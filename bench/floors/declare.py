"""Load configs, checked and complete, and no more: what a comparison of them cannot do without."""

import sys
from pathlib import Path

from runner.config.load import declaration

SIDES = [declaration(Path(path)) for path in sys.argv[1:]]
