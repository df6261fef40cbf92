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

# check_demo "$@": sets task, data and flags for run_demo.sh; wrong words end it before anything is made or removed.
check_demo() {
  local python=.venv/bin/python here
  here="$(pwd -P)"
  [ -x "$python" ] || python=python3
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    leave "$python is not there or older than Python 3.10; install a newer one, and remove .venv if it is that"
  task=elpv data=demo/elpv flags=("$@")
  case "${1:-}" in
    --data) [ $# -ge 2 ] || leave "--data needs the folder of your photographs" ;;
    --data=*) set -- --data "${1#--data=}" "${@:2}" ;;
    *) return 0 ;;
  esac
  data="$(from_caller "$2")"
  [ -e "$data" ] || leave "--data $2: no such folder"
  task=own data="$(cd "$(dirname "$data")" && pwd -P)/$(basename "$data")" flags=("${@:3}")
  if [ -d "$data" ]; then data="$(cd "$data" && pwd -P)"; fi
  case "$data/" in "$here"/demo/* | "$here"/checkpoints/demo_*) leave "--data $2 lies where the demo writes; move it" ;; esac
  case "$here/" in "$data"/*) leave "--data $2 holds this folder, where the demo writes; name the photographs alone" ;; esac
}

# leave MESSAGE: the end of a script that was called wrongly.
leave() {
  echo "error: $1" >&2
  exit 2
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
