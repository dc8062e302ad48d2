"""The guest agent's modules in this interpreter, with the HTTP/2 library that the built agent carries."""

import os
import sys

AGENT = os.path.join(os.path.dirname(__file__), "..", "..", "..", "..", "guest", "lima-guestagent")
VENDOR = os.path.join(os.path.abspath(AGENT), "vendor", "py39")
if VENDOR not in sys.path:
    sys.path.append(VENDOR)
