#!/bin/sh
# Builds the examples and runs the main job, from nothing: a cohort of slides, ZoomMIL on it from slides to predictions; then bags of
# a classic data set, a slide, and bags of real images.
set -u
cd "$(dirname "$0")/.." || exit 1
. cmake/setup.sh
data=${MILKIT_DATA_DIR:-../shared/data}

# shellcheck disable=SC2086
install_missing $build_packages

say "Building the examples into build/release/examples"
mkdir -p build/release
log=build/release/configure.log
cmake --preset release >"$log" 2>&1 || { cat "$log"; exit 1; }
cmake --build build/release --target milkit_examples || exit 1

run() {
  say "$*"
  "$@" </dev/null || { echo "$1 failed: exit code $?" >&2; exit 1; }
}
bin=build/release/examples reports="zoom_mil classic_bags slide_overview zoom_in_needle"
run $bin/make_cohort out/cohort
run $bin/zoom_prepare out/cohort --table out/cohort/cohort.csv --tile 128 --out out/zoom_mil
run $bin/zoom_train out/zoom_mil --k 24,20 --restarts 24 --other-restarts 4
run $bin/zoom_predict out/zoom_mil --truth out/cohort/truth
run $bin/classic_bags --out out/classic_bags examples/data/musk1.data
run $bin/slide_overview --out out/slide_overview examples/data/CMU-1-Small-Region.svs
run $bin/zoom_in_needle --out out/zoom_in_needle
if [ -d "$data/colon" ]; then
  run $bin/colon_nuclei --folds 10 --only-fold 1 --epochs 20 --out out/colon_nuclei "$data/colon"
  run $bin/zoom_in_colon --folds 10 --only-fold 1 --epochs 20 --out out/zoom_in_colon "$data/colon"
  reports="$reports colon_nuclei zoom_in_colon"
else
  say "No colon images: colon_nuclei and zoom_in_colon are left out (set MILKIT_DATA_DIR to a folder that holds colon/)"
fi

say "Done. Open these in a browser:"
missing=0
for each in $reports; do
  if [ -f "out/$each/report.html" ]; then
    echo "  $PWD/out/$each/report.html"
  else
    echo "  out/$each/report.html was not written" >&2
    missing=1
  fi
done
exit $missing
