#!/usr/bin/env bash
# All that a GPU has to show, in one table: the tests that need one, then every benchmark with --quick. It takes a machine
# as it comes: without PYTHON, .venv-gpu is made and filled from requirements.txt. Made for less than 8 minutes on one GPU.
#
#     benchmarks/gpu.sh                                    # DEVICE=cuda:1 for another one
#     DEVICE=cpu TINY=1 PYTHON=python3 benchmarks/gpu.sh   # does it run: smallest sizes, on the CPU; no number means a thing
set -euo pipefail
cd "$(dirname "$0")/.."
device="${DEVICE:-cuda}" limit="${LIMIT:-60}"  # seconds that a benchmark may take
if [ -z "${PYTHON:-}" ]; then
  [ -x .venv-gpu/bin/python ] || python3 -m venv .venv-gpu
  PYTHON=.venv-gpu/bin/python
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -r requirements.txt "pytest>=8.0"
fi
start=$SECONDS
"$PYTHON" - "$device" <<'CARD'
import sys, torch
if sys.argv[1] != "cpu" and not torch.cuda.is_available():
    sys.exit("no CUDA device here: torch sees none; DEVICE=cpu TINY=1 only tries the script")
name = "CPU" if sys.argv[1] == "cpu" else torch.cuda.get_device_name(sys.argv[1])
print(f"{name}, torch {torch.__version__}\n")
CARD
printf '| %-34s | %9s | %12s | %6s | %7s |\n' what ratio "ours a s" bound seconds
printf '|---|---|---|---|---|\n'

run() {  # NAME WORDS...: one row of the table
  local name="$1" began=$SECONDS said
  shift
  said=$(timeout "$limit" "$PYTHON" -m "$@" 2>&1) || said="$said"$'\n'"FAILED $?"
  printf '%s\n' "$said" | awk -v name="$name" -v took="$((SECONDS - began))" '
    /^RATIO /{ratio = $3} /^OURS images\/s /{ours = $3} /^BOUND /{bound = $2}
    / (passed|failed|skipped|error)/ && !/^(RATIO|OURS|REFERENCE)/{tests = $0} /^FAILED [0-9]+$/{failed = $2; last = before} {before = $0}
    END {gsub(/^=+ | in [0-9.]+s.*/, "", tests)
         printf "| %-34s | %9s | %12s | %6s | %7s |%s\n", name, tests ? tests : ratio, ours, bound, took,
                failed ? " ended with " failed ": " last : ""}'
}

tiny() {  # WORDS...: printed only where the sizes are the smallest
  [ -z "${TINY:-}" ] || printf '%s ' "$@"
}

run tests/gpu pytest -q -m gpu tests/gpu --disable-warnings
quick() {  # NAME MODULE WORDS...
  local name="$1" module="$2"
  shift 2
  run "$name" "benchmarks.$module" --quick --device "$device" "$@"
}
# shellcheck disable=SC2046  # the words are meant to be split
{
  quick retrieval retrieval $(tiny --count 300 --width 64)
  quick evaluate evaluate $(tiny --count 300)
  quick linear linear $(tiny --arch resnet18 --size 64 --count 8 --classes 4 --epochs 3)
  quick sorting sorting $(tiny --count 200 --names 20)
  quick loader loader $(tiny --count 4)
  quick ddt ddt $(tiny --arch resnet18 --size 96 --count 4 --batch 2)
  quick "pretrain_step lead" pretrain_step $(tiny --student resnet18 --teacher vit_tiny_patch16_224 --size 64 --batch 2 --dim 32 --queue 64)
  quick "pretrain_step lead clean" pretrain_step --teacher-view clean $(tiny --student resnet18 --teacher vit_tiny_patch16_224 --size 64 --batch 2 --dim 32 --queue 64)
  quick "pretrain_step lcr-moco" pretrain_step --method lcr-moco $(tiny --student resnet18 --size 64 --batch 2 --queue 64)
  quick "pretrain_step lcr-byol" pretrain_step --method lcr-byol $(tiny --student resnet18 --size 64 --batch 2)
  quick metric_step metric_step $(tiny --student resnet18 --size 64 --batch 4)
  quick "metric_step loss" metric_step --part loss $(tiny --batch 16 --repeats 2)
  quick "finetune_step pim" finetune_step $(tiny --backbone resnet18 --size 64 --batch 4 --fpn-size 16 --selects 32 16 8 2)
  quick "finetune_step pim ranking" finetune_step --part ranking $(tiny --batch 2 --repeats 2)
  quick "finetune_step distill" finetune_step --method distill $(tiny --student deit_tiny_distilled_patch16_224 --teacher resnet18 --batch 2)
}
echo
echo "all of it in $((SECONDS - start)) s"
