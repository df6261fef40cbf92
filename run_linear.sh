#!/usr/bin/env bash
# Linear probe. PRETRAINED: a name under checkpoints/, or weights. Without DATASET, the one it was trained on is taken.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
if [ "$count" -ne 5 ] && [ "$count" -ne 6 ]; then
  echo "usage: $0 TASK [DATASET] PRETRAINED CHECKPOINTS_NAME NUM_CLASSES CUDA_DEVICE [FLAGS of main_linear.py]" >&2
  exit 2
fi
task="$1" root=()
if [ "$count" -eq 6 ]; then
  root=(--root "$(from_caller "$2")")
  shift
fi
pretrained="$(from_caller "$2")" name="$3" classes="$4" devices="$5"
shift 5
launch "$devices" main_linear.py --task "$task" ${root[@]+"${root[@]}"} --pretrained "$pretrained" \
  --num-classes "$classes" --results-dir "checkpoints_linear/$name" "$@"
