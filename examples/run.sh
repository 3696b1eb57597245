#!/bin/sh
# Builds the examples and runs the main job, from nothing: a cohort of slides, ZoomMIL on it from slides to predictions; then bags of
# a classic data set, a slide, and bags of real images. Only what comes next is built before it, so that the first report is there soon.
set -u
cd "$(dirname "$0")/.." || exit 1
. cmake/setup.sh
. examples/build.sh
data=${MILKIT_DATA_DIR:-../shared/data}

# shellcheck disable=SC2086
install_missing $build_packages
configure

missing=0
name_report() {
  if [ -f "out/$1/report.html" ]; then
    echo "  $PWD/out/$1/report.html"
  else
    echo "  out/$1/report.html was not written" >&2
    missing=1
  fi
}

build_in_background make_cohort zoom_prepare zoom_train zoom_predict
run make_cohort out/cohort
run zoom_prepare out/cohort --table out/cohort/cohort.csv --tile 128 --out out/zoom_mil
run zoom_train out/zoom_mil --methods zoom_mil,abmil_low,abmil_high
run zoom_predict out/zoom_mil --truth out/cohort/truth
say "The first report is there; open it in a browser:"
name_report zoom_mil
say "That is one cohort and one seed; sh examples/spread.sh shows the spread over five of each. README.md has:"
sed -n '/<!-- spread -->/,/<!-- end of spread -->/p' README.md | grep -v '^<!--'

reports="classic_bags slide_overview zoom_in_needle"
[ ! -d "$data/colon" ] || reports="$reports colon_nuclei zoom_in_colon"
# shellcheck disable=SC2086
build_in_background $reports
run classic_bags --out out/classic_bags examples/data/musk1.data
run slide_overview --out out/slide_overview examples/data/CMU-1-Small-Region.svs
run zoom_in_needle --out out/zoom_in_needle
if [ -d "$data/colon" ]; then
  run colon_nuclei --folds 10 --only-fold 1 --epochs 20 --out out/colon_nuclei "$data/colon"
  run zoom_in_colon --folds 10 --only-fold 1 --epochs 20 --out out/zoom_in_colon "$data/colon"
else
  say "No colon images: colon_nuclei and zoom_in_colon are left out (set MILKIT_DATA_DIR to a folder that holds colon/)"
fi

say "Done. Open these in a browser:"
for each in zoom_mil $reports; do name_report "$each"; done
exit $missing
