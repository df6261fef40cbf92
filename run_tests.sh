#!/usr/bin/env bash
# Install what the tests need into .venv and run them; extra words go to pytest (-m slow, -k retrieval, ...).
# --oldest, as the first word: in .venv-oldest, with exactly the oldest releases that the requirements admit.
set -euo pipefail
cd "$(dirname "$0")"
if [ "${1:-}" = --oldest ]; then
  shift
  [ -x .venv-oldest/bin/python ] || "${PYTHON:-python3}" -m venv .venv-oldest
  PYTHON=.venv-oldest/bin/python
  sed 's/ *#.*//; /^$/d; s/>=/==/' requirements.txt requirements-demo.txt requirements-tests.txt > .venv-oldest/pins.txt
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -r .venv-oldest/pins.txt
elif [ -z "${PYTHON:-}" ]; then
  [ -x .venv/bin/python ] || python3 -m venv .venv
  PYTHON=.venv/bin/python
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-demo.txt -r requirements-tests.txt
fi
# One worker a core, at most four, each with one thread: most of a test is Python, which two threads do not hasten.
cores=$(getconf _NPROCESSORS_ONLN)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$PYTHON" -m pytest -q --durations=15 -n "${TEST_WORKERS:-$((cores < 4 ? cores : 4))}" --dist loadfile "$@"
