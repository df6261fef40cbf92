#!/usr/bin/env bash
# Finds the object in every image (DDT) and cuts it out, into OUTPUT_CROP_ROOT/TASK_crop. PRETRAINED: a weights path,
# package:efficientnet-lite0, hub or none. CUDA_DEVICE: a number (of a list the first is used) or cpu.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
if [ "$count" -ne 4 ] && [ "$count" -ne 5 ]; then
  echo "usage: $0 TASK DATASET PRETRAINED CUDA_DEVICE [OUTPUT_CROP_ROOT] [FLAGS of python -m DDT]" >&2
  exit 2
fi
task="$1" dataset="$(from_caller "$2")" pretrained="$(from_caller "$3")" device="${4%%,*}" out="DDT/crop_dataset"
if [ "$count" -eq 5 ]; then case "$5" in /*) out="$5" ;; *) out="$caller/$5" ;; esac; fi
shift "$count"
kind=cuda
case "$device" in cpu) kind=cpu ;; *) export CUDA_VISIBLE_DEVICES="$device" ;; esac
exec "$PYTHON" -m DDT --task "$task" --root "$dataset" --pretrained "$pretrained" --device "$kind" --out "$out" "$@"
