#!/usr/bin/env bash
# Pre-training, then linear probe and image retrieval of what came out. FLAGS go to the pre-training.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
if [ "$count" -ne 7 ]; then
  echo "usage: $0 TASK DATASET LLM_DESCRIPTION CHECKPOINTS_NAME NUM_CLASSES CUDA_DEVICE LINEAR_NAME [FLAGS]" >&2
  exit 2
fi
task="$1" dataset="$(from_caller "$2")" text="$(from_caller "$3")" name="$4" classes="$5" devices="$6" linear="$7"
shift 7
./run_train.sh "$task" "$dataset" "$text" "$name" "$classes" "$devices" "$@"
./run_linear.sh "$task" "$dataset" "$name" "$linear" "$classes" "${devices%%,*}"
./run_retrieval.sh "$task" "$dataset" "$name" "${devices%%,*}"
