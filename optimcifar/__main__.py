"""``python -m optimcifar``, the same as the command ``optimcifar``."""

import sys

from optimcifar.cli import main

if __name__ == "__main__":
    sys.exit(main())
