#!/bin/sh
# dist.sh PYTHON: wheel and sdist, and one executable file with everything in it but Python itself.
set -eu
python=$1
rm -rf dist
"$python" -m pip install --quiet --disable-pip-version-check 'build>=1.2,<2' 'shiv>=1.0.8,<2'
"$python" -m build --no-isolation --outdir dist .
wheel=$(ls dist/*.whl)
# shellcheck disable=SC2046  # a list of words
"$python" -m shiv --compressed --console-script limactl --python '/usr/bin/env python3' --output-file dist/limactl \
	--no-deps "$wheel" \
	$(sed -n 's/^\([a-z0-9][a-z0-9._-]*==[^ ]*\).*/\1/p' requirements/runtime.txt)
ls -l dist
