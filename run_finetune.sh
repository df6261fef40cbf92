#!/usr/bin/env bash
# Fine-tuning with labels. METHOD distill needs --teacher-path; DATASET of cub_dogs is "CUB_ROOT DOGS_ROOT", in quotes.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
case "${1:-}" in cub | dogs | cub_dogs | foodx | nabirds | folder) ;; *) count=0 ;; esac
case "${2:-}" in plain | teacher | distill | pim) ;; *) count=0 ;; esac
if [ "$count" -ne 5 ]; then
  echo "usage: $0 cub|dogs|cub_dogs|foodx|nabirds|folder plain|teacher|distill|pim DATASET NAME CUDA_DEVICE" \
    "[FLAGS of main_finetune.py]" >&2
  exit 2
fi
task="$1" method="$2" name="$4" devices="$5" roots=("$(from_caller "$3")")
if [ ! -e "${roots[0]}" ]; then # no folder: several, with spaces between
  read -ra words <<<"$3"
  roots=()
  for word in "${words[@]}"; do roots+=("$(from_caller "$word")"); done
fi
shift 5
launch "$devices" main_finetune.py --method "$method" --preset "$task" --task "$task" --data-path "${roots[@]}" \
  --results-dir "checkpoints/$name" "$@"
