#!/bin/sh
# lock.sh PYTHON: requirements/{runtime,dev}.txt with hashes, from pyproject.toml. Names no package index.
set -eu
python=$1
mkdir -p requirements
"$python" -m pip install --quiet --disable-pip-version-check 'pip-tools>=7.4,<8'
compile() {
	"$python" -m piptools compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url \
		--no-emit-trusted-host --no-header --resolver=backtracking --output-file "$1" "$2"
}
compile requirements/runtime.txt requirements/runtime.in
compile requirements/dev.txt requirements/dev.in
