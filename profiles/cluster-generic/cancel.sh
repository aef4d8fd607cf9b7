#!/bin/sh
# Cancels jobs: cancel.sh JOB… Snakemake calls it when it is interrupted.
# EDIT: your cluster's command, here SLURM's.
exec scancel "$@"
