"""`python -m lima` is `limactl`: how the program starts itself again as a host agent."""

import sys

from lima.entrypoints.cli.main import limactl

if __name__ == "__main__":
    sys.exit(limactl())
