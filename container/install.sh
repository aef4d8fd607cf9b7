#!/usr/bin/env bash
# Run while an image is built, by both recipes:  install.sh SOURCE LOCK
# Debian's Python, and in the virtual environment SOURCE/image everything of a lock, exactly, and then the project.
# SOURCE: pyproject.toml, README.md, LICENSE, advntk, requirements. Provenance names the environment by its folder, image.
set -euo pipefail
source=$1 lock=$2

apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
apt-get clean
rm -rf /var/lib/apt/lists/*

python3 -m venv "$source/image"
PATH="$source/image/bin:$PATH"
python -m pip install --no-cache-dir --no-deps -r "$source/requirements/$lock"
python -m pip install --no-cache-dir --no-deps --no-build-isolation "$source"
python -m advntk --version
