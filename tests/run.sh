#!/bin/sh
# Builds and runs every test, from nothing; the last line is `N passed, N failed, N skipped`.
#   sh tests/run.sh [CTEST_OPTION...]        for instance: sh tests/run.sh -L golden
set -u
cd "$(dirname "$0")/.." || exit 1
. cmake/setup.sh
preset=${MILKIT_PRESET:-release} target=${MILKIT_TARGET:-milkit_tests}

# shellcheck disable=SC2086
install_missing $build_packages $test_packages

mkdir -p "build/$preset"
log=build/$preset/configure.log
rm -f "build/$preset/tests.xml" "build/$preset/compilations"
phases=
# phase NAME COMMAND...: runs COMMAND and notes what it took, by the clock and of the processors.
phase() {
  name=$1
  shift
  clock=$(date +%s)
  times >"build/$preset/times"
  "$@"
  code=$?
  times >>"build/$preset/times"
  used=$(awk 'NR == 2 || NR == 4 { gsub(/[ms]/, " "); now = 60 * $1 + $2 + 60 * $3 + $4; used = now - before; before = now }
    END { printf "%.0f", used }' "build/$preset/times")
  phases="$phases$name $(($(date +%s) - clock)) s ($used s of processor time), "
  return $code
}

say "Configuring build/$preset"
if ! phase configured cmake --preset "$preset" >"$log" 2>&1; then
  cat "$log"
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
grep 'milkit:' "$log"

say "Building the tests"
built=0
phase built cmake --build "build/$preset" --target "$target" -- -k 0 || built=1

say "Running the tests"
phase tested ctest --preset "$preset" --parallel "$(nproc)" --no-tests=error --output-junit tests.xml "$@" </dev/null
result=$?
say "${phases%, }"

# What could not be built fails in CTest too, unless options above left it out.
[ $result -ne 0 ] || result=$built
number() { sed -n "s/^[[:space:]]*$1=\"\([0-9]*\)\".*/\1/p" "build/$preset/tests.xml" 2>/dev/null | head -n 1; }
all=$(number tests) failed=$(number failures) skipped=$(number skipped) disabled=$(number disabled)
unbuilt=$(grep -c '<skipped message="Unable to find executable"' "build/$preset/tests.xml" 2>/dev/null)
skipped=$((${skipped:-0} + ${disabled:-0} - ${unbuilt:-0})) failed=$((${failed:-0} + ${unbuilt:-0}))
passed=$((${all:-0} - failed - skipped))
[ "$result" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "$passed passed, $failed failed, $skipped skipped"
exit $result
