# Sourced by the run_*.sh scripts: where Python is, which arguments are positional, one process or one per device.
caller="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${PYTHON:-}" ]; then
  if [ -x .venv/bin/python ]; then PYTHON=.venv/bin/python; else PYTHON=python3; fi
fi

# positional "$@": sets `count` to the number of arguments before the first that starts with a dash.
positional() {
  count=0
  while [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; do count=$((count + 1)); shift; done
}

# from_caller PATH: a relative path as the caller meant it, if something is there.
from_caller() {
  if [ "${1#/}" = "$1" ] && [ -e "$caller/$1" ]; then printf '%s\n' "$caller/$1"; else printf '%s\n' "$1"; fi
}

# launch DEVICES SCRIPT [FLAGS]: DEVICES is cpu, a CUDA number, or a list such as 0,1 (or cpu,cpu): one process each.
launch() {
  local devices="$1" script="$2" kind=cuda commas
  shift 2
  case "$devices" in cpu*) kind=cpu ;; *) export CUDA_VISIBLE_DEVICES="$devices" ;; esac
  commas="${devices//[^,]/}"
  if [ -n "$commas" ]; then
    "$PYTHON" -m torch.distributed.run --standalone --nproc_per_node="$((${#commas} + 1))" "$script" --device "$kind" "$@"
  else
    "$PYTHON" "$script" --device "$kind" "$@"
  fi
}
