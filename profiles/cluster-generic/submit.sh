#!/bin/sh
# Submits a job: submit.sh GPUS CORES MEMORY_MB MINUTES SCRIPT. Prints the job's id and nothing else.
# EDIT: your cluster's command, here SLURM's.
set -eu
gpus=$1 cores=$2 memory_mb=$3 minutes=$4 script=$5
mkdir -p results/cluster_logs
if [ "$gpus" -gt 0 ]; then place="--partition=gpu --gpus=$gpus"; else place="--partition=cpu"; fi
# shellcheck disable=SC2086  # two words are meant
exec sbatch --parsable $place --ntasks=1 --cpus-per-task="$cores" --mem="${memory_mb}M" --time="$minutes" \
  --job-name=advntk --output=results/cluster_logs/%j.log "$script"
