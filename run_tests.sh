#!/usr/bin/env bash
# Install what the tests need into .venv and run them; extra words go to pytest (-m slow, -k retrieval, ...).
set -euo pipefail
cd "$(dirname "$0")"
if [ -z "${PYTHON:-}" ]; then
  [ -x .venv/bin/python ] || python3 -m venv .venv
  PYTHON=.venv/bin/python
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-demo.txt
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
"$PYTHON" -m pytest -q --durations=15 "$@"
