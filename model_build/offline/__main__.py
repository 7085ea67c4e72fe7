"""`python -m model_build.offline` is `python -m model_build train-offline`."""

import sys

from model_build.cli import main

sys.exit(main(["train-offline", *sys.argv[1:]]))
