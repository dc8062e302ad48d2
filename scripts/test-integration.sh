#!/bin/sh
# Tests on this machine alone, in two processes: they wait more than they compute. Usage: test-integration.sh PYTHON
# What the first says is seen as it comes, what the second says at the end.
set -u
python=$1
said=$(mktemp)
trap 'rm -f "$said"' EXIT
"$python" -m pytest tests/integration/test_*.py >"$said" 2>&1 &
second=$!
"$python" -m pytest tests/architecture tests/contracts tests/integration --ignore-glob="tests/integration/test_*.py"
first_code=$?
wait "$second"
second_code=$?
cat "$said"
[ "$first_code$second_code" = 00 ]
