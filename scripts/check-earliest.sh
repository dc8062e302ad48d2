#!/bin/sh
# check-earliest.sh PYTHON: unit tests with the lowest versions of the direct dependencies that pyproject.toml allows.
set -eu
python=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$python" scripts/earliest.py pyproject.toml >"$folder/earliest.txt"
cat "$folder/earliest.txt"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$folder/earliest.txt" 'hatchling>=1.24'
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
"$folder/venv/bin/python" -m pytest -q tests/unit
