#!/bin/sh
# generate-proto.sh PYTHON: _generated/ of the guest agent's wire, from its .proto. Generated code runs with the protobuf
# it was made by and all later ones, so the generator's version decides the lower bound in pyproject.toml.
set -eu
python=$1
folder=src/lima/adapters/guestagent
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# a venv of its own: this generator wants an older protobuf than the one that we run with
"$python" -m venv "$scratch"
"$scratch/bin/python" -m pip install --quiet --disable-pip-version-check 'grpcio-tools==1.76.0' 'setuptools<81'
"$scratch/bin/python" -m grpc_tools.protoc -I"$folder" --python_out="$folder/_generated" --pyi_out="$folder/_generated" \
	guestservice.proto
