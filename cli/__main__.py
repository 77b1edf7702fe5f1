"""``python -m visage.cli`` does what ``visage`` does."""

import sys

from . import main

sys.exit(main())
