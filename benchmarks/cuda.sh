#!/bin/sh
# Builds milkit for the card of this machine, checks every kernel on it, measures it beside PyTorch in turns, in one run,
# and prints Markdown tables. Needs nvcc 12 or newer, a card and python3; no CMake, no Eigen, no network.
#   sh benchmarks/cuda.sh [RESULTS.json] [OPTION of benchmarks/peers/card.py...]
#   sh benchmarks/cuda.sh --sanitize      compute-sanitizer's memcheck and racecheck over the tests of tests/cuda/*.cu instead
# PyTorch is that of the Python that MILKIT_TORCH_PYTHON names, or of python3, or comes by pip into build/torch; where none
# comes, milkit is measured alone. Begins no case after 9 minutes, unless told --seconds. NVCC names the compiler, MILKIT_CUDNN_DIR a folder with cuDNN's include and lib,
# MILKIT_COMMIT the commit where there is no git.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=cmake/setup.sh
. cmake/setup.sh
begun=$(date +%s)
stop() { echo "benchmarks/cuda.sh: $*" >&2; exit 1; }
sanitize=
case ${1:-} in --sanitize) sanitize=yes results= && shift ;; "" | -*) results=build/cuda/results.json ;; *) results=$1 && shift ;; esac

NVCC=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
export NVCC
command -v "$NVCC" >/dev/null 2>&1 || stop "there is no nvcc ($NVCC); install the CUDA Toolkit 12 or newer, or name one by NVCC"
nvidia-smi -L >/dev/null 2>&1 || ls /dev/nvidia[0-9]* >/dev/null 2>&1 || stop "there is no NVIDIA card here that answers nvidia-smi -L"
command -v python3 >/dev/null 2>&1 || stop "there is no python3"

# A Python that has PyTorch with CUDA, or nothing.
has_torch() { "$1" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1; }
torch=
for each in "${MILKIT_TORCH_PYTHON:-}" python3 build/torch/bin/python; do
  [ -z "$torch" ] && [ -n "$each" ] && has_torch "$each" && torch=$each
done
if [ -z "$torch" ] && [ -z "$sanitize" ]; then
  say "Installing PyTorch into build/torch"
  python3 -m venv build/torch && build/torch/bin/python -m pip install --quiet --retries 1 --timeout 20 torch numpy
  if has_torch build/torch/bin/python; then torch=build/torch/bin/python; else echo "There is no PyTorch that uses the card: milkit is measured alone."; fi
fi

# cuDNN beside the toolkit, or as PyTorch carries it.
cudnn=
for each in "${MILKIT_CUDNN_DIR:-}" "$(dirname "$NVCC")/.." /usr \
  "$("${torch:-python3}" -c 'import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0])' 2>/dev/null)"; do
  if [ -n "$cudnn" ] || [ ! -f "$each/include/cudnn.h" ]; then continue; fi
  # shellcheck disable=SC2012
  library=$(ls "$each"/lib64/libcudnn.so* "$each"/lib/libcudnn.so* "$each"/lib/x86_64-linux-gnu/libcudnn.so* 2>/dev/null | head -n 1)
  [ -n "$library" ] && cudnn="-DMILKIT_BENCH_CUDNN -I$each/include $library -Xlinker -rpath=$(dirname "$library")"
done
[ -n "$cudnn" ] || echo "There is no cuDNN: convolutions are those of milkit's own kernels alone."

say "Building for the card into build/cuda"
mkdir -p build/cuda
build() {
  # shellcheck disable=SC2086
  "$NVCC" -std=c++20 -O3 --Werror all-warnings -arch="${MILKIT_CUDA_ARCH:-native}" -Iinclude -Itests -o "build/cuda/$(basename "$1" .cu)" "$1" \
    -lcublasLt $2
}
tests=
jobs=
for source in tests/cuda/*.cu; do
  flags=
  if grep -q cudnn "$source"; then
    [ -n "$cudnn" ] || continue
    flags=$cudnn
  fi
  build "$source" "$flags" & jobs="$jobs $!"
  tests="$tests build/cuda/$(basename "$source" .cu)"
done
program=benchmarks/cuda/cuda_bench.cu
[ -n "$sanitize" ] || { { build $program "$cudnn" || { [ -n "$cudnn" ] && build $program ""; }; } & jobs="$jobs $!"; }
for job in $jobs; do wait "$job" || stop "a program does not compile"; done

for test in $tests; do
  say "$test"
  "$test"
  case $? in 0) ;; 77) stop "there is no NVIDIA card here that this driver runs programs of $NVCC on" ;; *) stop "$test failed" ;; esac
done
if [ -n "$sanitize" ]; then
  sanitizer=$(command -v compute-sanitizer || echo "$(dirname "$NVCC")/compute-sanitizer")
  command -v "$sanitizer" >/dev/null 2>&1 || stop "there is no compute-sanitizer"
  for tool in memcheck racecheck; do
    for test in $tests; do
      say "$tool: $test"
      "$sanitizer" --tool $tool --error-exitcode 1 "$test" || stop "$tool finds faults in $test"
    done
  done
  exit 0
fi

say "Measuring milkit and PyTorch in turns"
exec python3 benchmarks/peers/card.py build/cuda/cuda_bench ${torch:+--torch "$torch"} --out "$results" \
  --seconds $((begun + 540 - $(date +%s))) "$@"
