#!/bin/sh
# Builds milkit for the card of this machine, runs every kernel on it, measures it beside PyTorch in turns, in one run, and
# prints Markdown tables. Needs nvcc 12 or newer, a card and python3; no CMake, no Eigen, no network.
#   sh benchmarks/cuda.sh [RESULTS.json] [OPTION of benchmarks/peers/card.py...]
#   sh benchmarks/cuda.sh --tests         the tests of tests/cuda on the card instead
#   sh benchmarks/cuda.sh --sanitize      the same under compute-sanitizer's memcheck and racecheck
# Begins no case after 500 seconds, unless told --seconds. The environment may say:
#   MILKIT_TORCH_PYTHON  a Python with PyTorch; otherwise python3 if it has one, or pip into build/torch; or milkit alone
#   MILKIT_HEADERS       a folder with eigen3/ and doctest/, for the tests, instead of /usr/include
#   MILKIT_CUDNN_DIR     a folder with cuDNN's include/ and lib/; otherwise beside nvcc, /usr, or PyTorch's
#   NVCC, MILKIT_CUDA_ARCH, MILKIT_COMMIT   the compiler, -arch (native), the commit where there is no git
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=cmake/setup.sh
. cmake/setup.sh
begun=$(date +%s)
stop() { echo "benchmarks/cuda.sh: $*" >&2; exit 1; }
mode=measure
results=build/cuda/results.json
case ${1:-} in
  --tests) mode=tests && shift ;;
  --sanitize) mode=sanitize && shift ;;
  "" | -*) ;;
  *) results=$1 && shift ;;
esac

NVCC=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
export NVCC
command -v "$NVCC" >/dev/null 2>&1 ||
  stop "there is no nvcc ($NVCC); install the CUDA Toolkit 12 or newer, or name one by NVCC"
nvidia-smi -L >/dev/null 2>&1 || ls /dev/nvidia[0-9]* >/dev/null 2>&1 ||
  stop "there is no NVIDIA card here that answers nvidia-smi -L"
command -v python3 >/dev/null 2>&1 || stop "there is no python3"

# A Python that has PyTorch with CUDA, or nothing.
has_torch() { "$1" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1; }
torch=
for each in "${MILKIT_TORCH_PYTHON:-}" python3 build/torch/bin/python; do
  [ -z "$torch" ] && [ -n "$each" ] && has_torch "$each" && torch=$each
done
if [ -z "$torch" ] && [ $mode = measure ]; then
  say "Installing PyTorch into build/torch"
  python3 -m venv build/torch && build/torch/bin/python -m pip install --quiet --retries 1 --timeout 20 torch numpy
  if has_torch build/torch/bin/python; then
    torch=build/torch/bin/python
  else
    echo "There is no PyTorch that uses the card: milkit is measured alone."
  fi
fi

# cuDNN beside the toolkit, or as PyTorch carries it.
cudnn=
for each in "${MILKIT_CUDNN_DIR:-}" "$(dirname "$NVCC")/.." /usr \
  "$("${torch:-python3}" -c 'import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0])' 2>/dev/null)"; do
  if [ -n "$cudnn" ] || [ ! -f "$each/include/cudnn.h" ]; then continue; fi
  for library in "$each"/lib64/libcudnn.so* "$each"/lib/libcudnn.so* "$each"/lib/x86_64-linux-gnu/libcudnn.so*; do
    [ -f "$library" ] && [ -z "$cudnn" ] &&
      cudnn="-DMILKIT_BENCH_CUDNN -isystem $each/include $library -Xlinker -rpath=$(dirname "$library")"
  done
done
[ -n "$cudnn" ] || echo "There is no cuDNN: convolutions are those of milkit's own kernels alone."

# build PROGRAM ARGUMENT...: by nvcc, for this card.
build() {
  program=$1
  shift
  "$NVCC" -std=c++20 --Werror all-warnings -arch="${MILKIT_CUDA_ARCH:-native}" -Iinclude -o "build/cuda/$program" "$@" \
    -lcublasLt
}
jobs=
finished() {
  for job in $jobs; do wait "$job" || stop "a program does not compile"; done
  jobs=
}
# As many at a time as there are processors.
started() {
  jobs="$jobs $!"
  # shellcheck disable=SC2086
  set -- $jobs
  [ $# -lt "$(nproc)" ] || finished
}

say "Building for the card into build/cuda"
mkdir -p build/cuda
build smoke -Itests benchmarks/cuda/smoke.cu & started
programs=build/cuda/smoke
if [ $mode = measure ]; then
  source=benchmarks/cuda/cuda_bench.cu
  # shellcheck disable=SC2086
  { build cuda_bench -O3 -Itests $source $cudnn || { [ -n "$cudnn" ] && build cuda_bench -O3 -Itests $source; }; } & started
else
  headers=${MILKIT_HEADERS:-/usr/include}
  doctest=  # a compiler that is told of /usr/include loses its own headers
  [ "$headers" = /usr/include ] || doctest="-isystem $headers"
  if [ -d "$headers/eigen3" ] && [ -d "$headers/doctest" ]; then
    for source in tests/cuda/*_test.cpp; do
      flags=
      case $source in *cudnn*)
        [ -n "$cudnn" ] || continue
        flags=$cudnn
        ;;
      esac
      test=$(basename "$source" .cpp)
      # shellcheck disable=SC2086
      build "$test" -x cu -DEIGEN_NO_CUDA -DMILKIT_TESTS_NEED_CARD -DMILKIT_SOURCE_DIR="\"$PWD\"" -DMILKIT_GOLDEN_DIR='""' \
        -DMILKIT_DATA_DIR='""' -Itests/card -Itests -isystem "$headers/eigen3" $doctest "$source" \
        tests/support/main.cpp $flags & started
      programs="$programs build/cuda/$test"
    done
  else
    echo "There is no $headers/eigen3 or $headers/doctest: only every kernel's smoke test is run."
  fi
fi
finished

# run COMMAND... PROGRAM: 77 means that all of it, or a part, cannot run here.
run() {
  say "$*"
  "$@"
  case $? in 0 | 77) ;; *) failed="$failed $*;" ;; esac
}
failed=
say build/cuda/smoke
build/cuda/smoke
case $? in
  0) ;;
  77) stop "there is no NVIDIA card here whose driver runs what $NVCC builds" ;;
  *) stop "the smoke test failed" ;;
esac
if [ $mode != measure ]; then
  if [ $mode = tests ]; then
    for each in $programs; do run "$each"; done
  else
    sanitizer=$(command -v compute-sanitizer || echo "$(dirname "$NVCC")/compute-sanitizer")
    command -v "$sanitizer" >/dev/null 2>&1 || stop "there is no compute-sanitizer"
    for tool in memcheck racecheck; do
      for each in $programs; do run "$sanitizer" --tool $tool --error-exitcode 1 "$each"; done
    done
  fi
  [ -z "$failed" ] || stop "failed:$failed"
  say "All passed, or were skipped where they say so"
  exit 0
fi

say "Measuring milkit and PyTorch in turns"
exec python3 benchmarks/peers/card.py build/cuda/cuda_bench ${torch:+--torch "$torch"} --out "$results" \
  --seconds $((begun + 500 - $(date +%s))) "$@"
