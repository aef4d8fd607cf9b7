#!/bin/sh
# Says how a job is: status.sh JOB. Prints one word: running (or waiting), success or failed.
# A job that was killed must come out as failed, or Snakemake waits for it without end.
# EDIT: your cluster's command, here SLURM's.
set -eu
if ! state=$(squeue --noheader --states=all --format=%T --jobs="$1" 2>&1); then
  case $state in
    *"Invalid job id"*) echo failed ;; # the cluster knows it no more
    *) echo running ;;                 # the cluster did not answer; ask again
  esac
  exit 0
fi
case $state in
  COMPLETED) echo success ;;
  PENDING | RUNNING | CONFIGURING | COMPLETING | SUSPENDED | STAGE_OUT | REQUEUED) echo running ;;
  *) echo failed ;;
esac
