#!/usr/bin/env bash
# Snakemake runs this in the checkout, with the new environment activated.
set -euo pipefail
python -m pip install --quiet --no-deps .
