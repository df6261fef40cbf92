#!/usr/bin/env bash
# Image retrieval, no training. PRETRAINED: a name under checkpoints/, or weights.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
if [ "$count" -ne 4 ]; then
  echo "usage: $0 TASK DATASET PRETRAINED CUDA_DEVICE [FLAGS of main_retrieval.py]" >&2
  exit 2
fi
task="$1" dataset="$(from_caller "$2")" pretrained="$(from_caller "$3")" devices="$4"
shift 4
launch "$devices" main_retrieval.py --task "$task" --root "$dataset" --pretrained "$pretrained" "$@"
