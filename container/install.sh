#!/usr/bin/env bash
# Run while an image is built, by both recipes:  install.sh SOURCE LOCK
# Everything of a lock, exactly, and then the project. SOURCE: pyproject.toml, README.md, LICENSE, advntk, requirements.
set -euo pipefail
source=$1 lock=$2

python -m pip install --no-cache-dir --no-deps -r "$source/requirements/$lock"
python -m pip install --no-cache-dir --no-deps --no-build-isolation "$source"
python -m advntk --version
