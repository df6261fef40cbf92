#!/usr/bin/env bash
# LEAD++ pre-training. LLM_DESCRIPTION is a text tensor (.pt), or `none` for the vocabulary-free mode.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
if [ "$count" -ne 6 ]; then
  echo "usage: $0 TASK DATASET LLM_DESCRIPTION CHECKPOINTS_NAME NUM_CLASSES CUDA_DEVICE [FLAGS of main_pretrain.py]" >&2
  exit 2
fi
task="$1" dataset="$(from_caller "$2")" text="$(from_caller "$3")" name="$4" classes="$5" devices="$6"
shift 6
launch "$devices" main_pretrain.py --task "$task" --root "$dataset" --text-load "$text" --num-classes "$classes" \
  --results-dir "checkpoints/$name" "$@"
