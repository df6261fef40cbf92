#!/usr/bin/env bash
# LCR: pre-training, then linear probe and retrieval of the last epoch, on whole images with the attention-weighted feature.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
case "${1:-}-${2:-}" in cub-byol | cub-moco | cars-byol | cars-moco | aircraft-byol | aircraft-moco) ;; *) count=0 ;; esac
if [ "$count" -ne 5 ]; then
  echo "usage: $0 cub|cars|aircraft byol|moco DATASET NAME CUDA_DEVICE [FLAGS of main_pretrain.py]" >&2
  exit 2
fi
task="$1" path="$2" dataset="$(from_caller "$3")" name="$4" devices="$5"
shift 5
launch "$devices" main_pretrain.py --method "lcr-$path" --preset "$task" --task "$task" --root "$dataset" \
  --results-dir "checkpoints/$name" "$@"
whole=(--input full --feature masked)
./run_linear.sh "$task" "$dataset" "$name" "$name" 0 "${devices%%,*}" "${whole[@]}"
./run_retrieval.sh "$task" "$dataset" "$name" "${devices%%,*}" "${whole[@]}"
