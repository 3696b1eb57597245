#!/bin/sh
# What run.sh shows of one cohort, over several: each seed makes a cohort of its own, splits, weights and a training, with the same
# options as there. Mean and standard deviation over the seeds, and the least.
#   sh examples/spread.sh [SEED...]        1 2 3 4 5 where none is given
set -u
cd "$(dirname "$0")/.." || exit 1
. cmake/setup.sh
. examples/build.sh
[ $# -gt 0 ] || set -- 1 2 3 4 5

# shellcheck disable=SC2086
install_missing $build_packages
configure
build_in_background make_cohort zoom_prepare zoom_train zoom_predict
out=out/spread
mkdir -p $out && rm -f $out/seed_*.txt
for seed; do
  here=$out/seed_$seed
  run make_cohort "$here/cohort" --seed "$seed"
  run zoom_prepare "$here/cohort" --table "$here/cohort/cohort.csv" --tile 128 --out "$here/zoom_mil"
  run zoom_train "$here/zoom_mil" --seed "$seed"
  run zoom_predict "$here/zoom_mil" --truth "$here/cohort/truth" --pictures 0 >"$here.txt"
  cat "$here.txt"
done

say "Over $# cohorts (seeds $*), 5 folds each:"
# Lines of zoom_predict: "name (30 characters) AUC 0.987 (...)  tiles   123  seconds  0.05  lesion seen 97 %".
awk '
  function spread(sum, square, n) { return n > 1 ? sqrt((square - sum * sum / n) / (n - 1 > 0 ? n - 1 : 1) + 1e-12) : 0 }
  / AUC [0-9.]+ \(/ {
    name = substr($0, 1, 30); sub(/ +$/, "", name)
    if (!(name in n)) { order[++methods] = name; least[name] = 2 }
    rest = substr($0, 31); split(rest, word, " ")
    auc = word[2]; ++n[name]; sum[name] += auc; square[name] += auc * auc
    if (auc < least[name]) least[name] = auc
    if (match(rest, /tiles +[0-9]+/)) tiles[name] += substr(rest, RSTART + 6, RLENGTH - 6)
    if (match(rest, /lesion seen +[0-9]+/)) { seen[name] += substr(rest, RSTART + 12, RLENGTH - 12); lesions[name] = 1 }
  }
  END {
    if (methods == 0) { print "no figures were found" > "/dev/stderr"; exit 1 }
    print "| | test AUC, mean and deviation | least | tiles encoded | lesion seen |"
    print "|---|---|---|---|---|"
    for (i = 1; i <= methods; ++i) {
      m = order[i]
      printf "| %s | %.3f +- %.3f | %.3f | %.0f | %s |\n", m, sum[m] / n[m], spread(sum[m], square[m], n[m]), least[m],
             tiles[m] / n[m], m in lesions ? sprintf("%.0f %%", seen[m] / n[m]) : ""
    }
  }' $out/seed_*.txt | tee $out/spread.md
