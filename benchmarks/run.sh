#!/bin/sh
# Builds milkit's benchmarks, sets up PyTorch, and measures both in turns, in one run; prints Markdown tables. The whole of
# it takes some hours; --cases runs a part: sh benchmarks/run.sh --cases colon 'matmul:*'
#   sh benchmarks/run.sh [RESULTS.json] [OPTION of benchmarks/peers/run.py...]
# PyTorch comes by pip into build/torch, unless MILKIT_TORCH_PYTHON names a Python that has it.
set -u
cd "$(dirname "$0")/.." || exit 1
. cmake/setup.sh
case ${1:-} in "" | -*) results=build/bench/results.json ;; *) results=$1 && shift ;; esac

# shellcheck disable=SC2086
install_missing $build_packages libbenchmark-dev libdnnl-dev libopenblas-dev python3 python3-venv

say "Building the benchmarks into build/bench"
mkdir -p build/bench
cmake --preset bench -DMILKIT_BUILD_EXAMPLES=OFF >build/bench/configure.log 2>&1 || { cat build/bench/configure.log; exit 1; }
cmake --build build/bench --target milkit_benchmarks || exit 1

python=${MILKIT_TORCH_PYTHON:-build/torch/bin/python}
if ! "$python" -c 'import torch' 2>/dev/null; then
  [ -z "${MILKIT_TORCH_PYTHON:-}" ] || { echo "MILKIT_TORCH_PYTHON=$python has no torch" >&2; exit 1; }
  say "Installing PyTorch into build/torch"
  python3 -m venv build/torch && "$python" -m pip install --quiet torch numpy || exit 1
fi

say "Measuring milkit and PyTorch in turns"
exec "$python" benchmarks/peers/run.py build/bench --out "$results" "$@"
