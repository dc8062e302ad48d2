#!/bin/sh
# Runs the unit tests and fails where they leave a line or a branch of the domain untried.
set -u
python=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export COVERAGE_FILE="$scratch/data"
# the same examples in every run: what is covered must not depend on luck
export HYPOTHESIS_PROFILE="${HYPOTHESIS_PROFILE:-steady}"

"$python" -m pytest -q tests/unit --cov=lima.domain --cov-branch --cov-report= || exit
"$python" -m coverage report --show-missing --skip-covered --fail-under=100 && exit
cat >&2 <<'END'

The unit tests must try every branch of src/lima/domain (the lines and jumps named above are left).
Write a test that states the rule behind such a line, or remove what cannot be reached.
END
exit 1
