#!/usr/bin/env bash
# A page on which a folder of photographs gets its names: name twenty, and the rest follow.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
if [ "$count" -ne 1 ]; then
  echo "usage: $0 PHOTOS [FLAGS of python -m tools.sort]" >&2
  exit 2
fi
photos="$(from_caller "$1")"
shift
exec "$PYTHON" -m tools.sort "$photos" --serve "$@"
