#!/usr/bin/env bash
# The tests as other processors and threads would run them, each row on its own: slow, not for CI.
#   tests/matrix.sh [--only 'avx2 1'] [--logs DIR] [words for pytest ...]   --only may come more than once
# A row is "capability threads [hash seed]": default, avx2 or own (the machine's best) with 1 or 2 threads; own 2 with a seed.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
rows=() logs=""
while [ $# -gt 0 ]; do
  case "$1" in
    --only) rows+=("$2"); shift 2 ;;
    --logs) logs="$2"; shift 2 ;;
    *) break ;;
  esac
done
[ ${#rows[@]} -gt 0 ] || rows=("default 1" "default 2" "avx2 1" "avx2 2" "own 1" "own 2" "own 2 1" "own 2 2" "own 2 3")
logs="$(realpath -m "${logs:-$(mktemp -d)}")"; mkdir -p "$logs"
[ -n "${PYTHON:-}" ] || { PYTHON=python3; [ ! -x "$root/.venv/bin/python" ] || PYTHON="$root/.venv/bin/python"; }
cd "$root"
echo "processor: $(grep -m1 '^flags' /proc/cpuinfo | grep -owE 'avx2|avx512[a-z0-9_]*|amx[a-z0-9_]*' | xargs || true)"
echo "logs: $logs"
printf '%-12s%-9s%-11s%8s%8s%9s\n' capability threads "hash seed" passed failed seconds
bad=()
for row in "${rows[@]}"; do
  read -r isa threads seed <<< "$row"
  case "$isa" in
    default) limits=(ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 ONEDNN_MAX_CPU_ISA=SSE41) ;;
    avx2) limits=(ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2) ;;
    own) limits=(-u ATEN_CPU_CAPABILITY -u MKL_ENABLE_INSTRUCTIONS -u ONEDNN_MAX_CPU_ISA) ;;
    *) echo "no capability $isa; there are default, avx2, own" >&2; exit 2 ;;
  esac
  log="$logs/${row// /-}.log" start=$SECONDS code=0
  env "${limits[@]}" OMP_NUM_THREADS="$threads" PYTHONHASHSEED="${seed:-random}" \
    "$PYTHON" -m pytest -q -rfE "$@" > "$log" 2>&1 || code=$?
  count() { grep -oE "[0-9]+ $1" <(tail -n 1 "$log") | awk '{n += $1} END {print n + 0}'; }
  printf '%-12s%-9s%-11s%8s%8s%9s\n' "$isa" "$threads" "${seed:-random}" "$(count passed)" "$(count 'failed|[0-9]+ error')" $((SECONDS - start))
  [ "$code" = 0 ] || bad+=("$row: exit code $code"$'\n'"$(grep -E '^(FAILED|ERROR) ' "$log" || tail -n 5 "$log")")
done
[ ${#bad[@]} = 0 ] || { printf '\n%s\n' "${bad[@]}"; exit 1; }
