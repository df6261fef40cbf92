#!/usr/bin/env bash
# OBD-SD with its published settings. DATASET: the data set's folder. `--OBDP false` leaves PSD, `--PSD false` too the baseline.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
case "${1:-}-${3:-}" in cub-128 | cub-512 | cars-128 | cars-512 | sop-128 | sop-512) ;; *) count=0 ;; esac
if [ "$count" -ne 5 ]; then
  echo "usage: $0 cub|cars|sop DATASET 128|512 NAME CUDA_DEVICE [FLAGS of main_metric.py]" >&2
  exit 2
fi
task="$1" dataset="$(from_caller "$2")" width="$3" name="$4" devices="$5"
shift 5
launch "$devices" main_metric.py --preset "$task-$width" --root "$dataset" --results-dir "checkpoints/$name" "$@"
