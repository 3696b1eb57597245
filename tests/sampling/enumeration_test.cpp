#include <doctest/doctest.h>

#include "enumerated.hpp"

// Every outcome of draws in one stage and in two, with its probability: means and variances of every form against the
// golden files, and the unordered estimator, which these do not know, against the exact values and the variances of the
// others.

using namespace milkit;
using ops::draw_estimator;
using test::golden_case, test::problem, test::one_stage, test::both_stages, test::values;

namespace {

constexpr double tolerance = 1e-10;  // README_zoom_in.md, of the largest entry

bool agrees(const std::vector<double>& got, const golden_case& golden, const std::string& name,
            double bound = tolerance) {
  const auto want = values(golden, name);
  double most = 0, off = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    most = std::max(most, std::abs(want[i]));
    off = std::max(off, std::abs(got[i] - want[i]));
  }
  const bool good = got.size() == want.size() && off <= bound * most + 1e-13;
  if (!good) MESSAGE(name << " is off by " << off << " of " << most);
  return good;
}
/// No component has more variance.
bool nowhere_above(const std::vector<double>& less, const std::vector<double>& more) {
  double most = 0;
  for (const double each : more) most = std::max(most, each);
  for (std::size_t i = 0; i < more.size(); ++i)
    if (!(less[i] <= more[i] + 1e-13 * most + 1e-16)) return false;
  return less.size() == more.size();
}
/// The root of the mean squared error of one gradient, as a part of the exact one.
double relative_rms(const test::moments& got, const std::vector<double>& exact) {
  const double bias = test::distance(got.average(), exact);
  return std::sqrt(test::total(got.variance()) + bias * bias) /
         test::distance(exact, std::vector<double>(exact.size()));
}

}  // namespace

TEST_CASE("sampling: one stage enumerated -> the golden means and variances of every form") {
  for (const std::string name : {"n1", "n2", "n3", "peaked", "all", "last", "on_prob"}) {
    CAPTURE(name);
    const golden_case golden("sampling_enumeration_" + name);
    const bool biased = name == "on_prob";
    const problem p = one_stage(golden);
    const auto ordered = p.with(draw_estimator::ordered, name == "last");
    CHECK(std::abs(ordered.output.mass - 1) <= 1e-12);
    CHECK(agrees(ordered.output.average(), golden, "expected_output", 1e-12));
    CHECK(agrees(ordered.dlogits2.average(), golden, "expected_grad.logits", 1e-12));
    CHECK(agrees(ordered.dfeatures.average(), golden, "expected_grad.features", 1e-12));
    CHECK(agrees(ordered.output.variance(), golden, "variance_output"));
    CHECK(agrees(ordered.dlogits2.variance(), golden, "variance_grad.logits"));
    std::vector<double> rms;  // of an unbiased law: what is stored as expected is exact
    if (golden.has("relative_rms")) {
      const auto score = p.with(draw_estimator::score), ats = p.with(draw_estimator::official_ats),
                 code = p.with(draw_estimator::official_zoom_in);
      CHECK(agrees(score.dlogits2.variance(), golden, "variance_grad_score.logits"));
      CHECK(agrees(ats.dlogits2.average(), golden, "expected_grad_ats.logits", 1e-12));
      CHECK(agrees(code.dlogits2.average(), golden, "expected_grad_code.logits", 1e-12));
      CHECK(agrees(code.dfeatures.average(), golden, "expected_grad_code.features", 1e-12));
      if (!biased) {
        const auto exact = values(golden, "expected_grad.logits");
        for (const auto* each : {&ordered, &score, &ats, &code}) rms.push_back(relative_rms(each->dlogits2, exact));
        CHECK(agrees(rms, golden, "relative_rms"));
        CHECK(agrees(score.dlogits2.average(), golden, "expected_grad.logits", 1e-12));
      }
    }
    if (biased) continue;
    const auto unordered = p.with(draw_estimator::unordered);
    CHECK(agrees(unordered.output.average(), golden, "expected_output", 1e-12));
    CHECK(agrees(unordered.dlogits2.average(), golden, "expected_grad.logits", 1e-12));
    CHECK(agrees(unordered.dfeatures.average(), golden, "expected_grad.features", 1e-12));
    CHECK(nowhere_above(unordered.output.variance(), values(golden, "variance_output")));
    CHECK(nowhere_above(unordered.dlogits2.variance(), values(golden, "variance_grad.logits")));
    CHECK(nowhere_above(unordered.dfeatures.variance(), ordered.dfeatures.variance()));
    const double own = relative_rms(unordered.dlogits2, values(golden, "expected_grad.logits"));
    CAPTURE(own);
    CAPTURE(test::total(unordered.output.variance()));
    CAPTURE(test::total(ordered.output.variance()));
    if (!rms.empty()) CHECK(own <= std::min(rms[0], rms[1]) * (1 + 1e-12) + 1e-14);
    if (name == "all") CHECK(own <= 1e-13);
  }
}

TEST_CASE("sampling: two stages enumerated -> the golden moments, unordered's no larger") {
  for (const std::string name : {"two_stage", "peaked", "all", "one_draw", "one_tile", "last", "complement"}) {
    CAPTURE(name);
    const golden_case golden("zoom_in_enumeration_" + name);
    const problem p = both_stages(golden);
    const auto ordered = p.with(draw_estimator::ordered, name == "last");
    const auto unordered = p.with(draw_estimator::unordered);
    CHECK(std::abs(ordered.output.mass - 1) <= 1e-12);
    for (const auto* each : {&ordered, &unordered}) {
      CHECK(agrees(each->output.average(), golden, "expected_output", 1e-12));
      CHECK(agrees(each->dlogits1.average(), golden, "expected_grad.logits1", 1e-12));
      CHECK(agrees(each->dlogits2.average(), golden, "expected_grad.logits2", 1e-12));
      CHECK(agrees(each->dfeatures.average(), golden, "expected_grad.features", 1e-12));
    }
    CHECK(agrees(ordered.output.variance(), golden, "variance_output"));
    CHECK(agrees(ordered.dlogits1.variance(), golden, "variance_grad.logits1"));
    CHECK(agrees(ordered.dlogits2.variance(), golden, "variance_grad.logits2"));
    CHECK(agrees(ordered.dfeatures.variance(), golden, "variance_grad.features"));
    if (golden.has("expected_grad_ats.logits2")) {
      const auto ats = p.with(draw_estimator::official_ats), code = p.with(draw_estimator::official_zoom_in);
      CHECK(agrees(ats.dlogits2.average(), golden, "expected_grad_ats.logits2", 1e-12));
      CHECK(agrees(code.dlogits2.average(), golden, "expected_grad_code.logits2", 1e-12));
      CHECK(agrees(code.dfeatures.average(), golden, "expected_grad_code.features", 1e-12));
    }
    CHECK(nowhere_above(unordered.output.variance(), values(golden, "variance_output")));
    CHECK(nowhere_above(unordered.dlogits1.variance(), values(golden, "variance_grad.logits1")));
    CHECK(nowhere_above(unordered.dlogits2.variance(), values(golden, "variance_grad.logits2")));
    CHECK(nowhere_above(unordered.dfeatures.variance(), values(golden, "variance_grad.features")));
  }
}

TEST_CASE("sampling: enumerated draws, a classifier -> the golden mean loss and gradient") {
  const golden_case golden("zoom_in_enumeration_loss");
  const problem p = both_stages(golden);
  const auto weight = golden.get<double, 2>("classifier.weight");
  const auto bias = values(golden, "classifier.bias");
  const auto label = golden.option<std::size_t>("label");
  const std::int64_t width = weight.extent(1);
  tensor<double, 2> losses({p.images, 1}), dweight({p.images, 2 * width}), dbias({p.images, 2});
  cpu backend;
  auto by = p.inner;
  by.how = {draw_estimator::ordered};
  const auto got =
      p.given.run(backend, p.images, p.draws, p.outer, by, [&](matrix_view<double> f, matrix_view<double> gradient) {
        for (std::int64_t r = 0; r < f.rows(); ++r) {
          double logits[2] = {bias[0], bias[1]}, mass = 0;
          for (std::int64_t i = 0; i < 2; ++i)
            for (std::int64_t j = 0; j < width; ++j) logits[i] += weight.view()(i, j) * f(r, j);
          for (const double each : logits) mass += std::exp(each);
          losses.view()(r, 0) = std::log(mass) - logits[label];
          for (std::int64_t i = 0; i < 2; ++i) {
            const double d = std::exp(logits[i]) / mass - (static_cast<std::size_t>(i) == label ? 1 : 0);
            dbias.view()(r, i) = d;
            for (std::int64_t j = 0; j < width; ++j) {
              dweight.view()(r, i * width + j) = d * f(r, j);
              gradient(r, j) += d * weight.view()(i, j);
            }
          }
        }
      });
  const auto mean = [&](const tensor<double, 2>& all) {
    test::moments m;
    m.add(all, p.probability.data());
    return m.average();
  };
  CHECK(agrees(mean(losses), golden, "expected_loss", 1e-12));
  CHECK(agrees(mean(got.dlogits1), golden, "expected_grad.logits1", 1e-12));
  CHECK(agrees(mean(got.dlogits2), golden, "expected_grad.logits2", 1e-12));
  CHECK(agrees(mean(got.dfeatures), golden, "expected_grad.features", 1e-12));
  CHECK(agrees(mean(dweight), golden, "expected_grad.classifier.weight", 1e-12));
  CHECK(agrees(mean(dbias), golden, "expected_grad.classifier.bias", 1e-12));
}
