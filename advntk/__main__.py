"""``python -m advntk VERB …``."""

import sys

from advntk.cli import main

sys.exit(main())
