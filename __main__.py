"""``python -m visage`` does what ``visage`` does."""

import sys

from .cli import main

sys.exit(main())
