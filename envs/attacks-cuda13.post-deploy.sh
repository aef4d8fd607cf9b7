#!/usr/bin/env bash
# Snakemake runs this with the new environment activated. Written by requirements/environments.py.
set -euo pipefail
python -I -m pip install --quiet --no-deps neural-tangents==0.6.5
checkout=${ADVNTK_CHECKOUT:-$PWD}  # the rules set it; Snakemake runs a copy of this script
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$checkout"/{pyproject.toml,README.md,LICENSE,advntk} "$copy"
python -I -m pip install --quiet --no-deps --no-build-isolation "$copy"
