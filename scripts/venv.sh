#!/bin/sh
# venv.sh PYTHON VENV LOCKFILE: a virtual environment with this package (editable) and the locked versions.
set -eu
python=$1 venv=$2 lock=$3

say() {
	echo "make: $*" >&2
}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	say "Python 3.11 or later is needed; \`$python\` is $("$python" --version 2>&1 || echo missing)."
	say "Name another one with: make PYTHON=/path/to/python3.11 start"
	exit 1
fi
if [ ! -x "$venv/bin/python" ]; then
	if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
		# Debian keeps ensurepip in a package of its own
		if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
			say "installing python3-venv"
			apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv >/dev/null
		else
			say "Python's venv module is incomplete. Install it, and all that guests need, with:"
			say "    $(PYTHONPATH=src "$python" scripts/missing.py)"
			say "then run the same make command again."
			exit 1
		fi
	fi
	say "making the virtual environment $venv"
	"$python" -m venv "$venv"
fi
say "installing $lock"
# the lock names everything: a resolver would ask for the newest `coverage[toml]` whenever `coverage` alone is locked
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
