"""The version, as `lima-version`, `--version` and the user agent state it.

The part before the dash is the release of upstream that this one is compared with: every rule that depends on the
creating version looks at that part only (docs/decisions/0002).
"""

__version__ = "2.2.0-py0.1.0"
