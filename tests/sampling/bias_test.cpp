// labels: unsanitized
#include <doctest/doctest.h>

#include <milkit/sampling/with_replacement.hpp>

#include <support/chance.hpp>

#include "enumerated.hpp"

// The mean of 5 10^5 draws of the samplers themselves: every component of output and gradients is off the exact value no
// further than chance takes it, by the range of all its outcomes. Also in the official code's form, off the mean of these
// outcomes; off the exact gradient it is further by far.

using namespace milkit;
using ops::draw_estimator;
using test::golden_case, test::problem, test::values;

namespace {

constexpr std::int64_t images = 1000, batches = 500;

template <class Outer>
problem::result drawn(const problem& p, const Outer& outer, draw_estimator form) {
  cpu backend{.threads = 1};
  problem::result made;
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    const auto got = p.given.run(
        backend, images, p.draws, outer, sampling::without_replacement{form},
        [&](matrix_view<double>, matrix_view<double> gradient) {
          for (std::int64_t r = 0; r < images; ++r) std::copy(p.upstream.begin(), p.upstream.end(), gradient.row(r));
        },
        random_stream(11, static_cast<std::uint64_t>(batch), 2));
    made.output.add(got.output);
    made.dlogits1.add(got.dlogits1);
    made.dlogits2.add(got.dlogits2);
    made.dfeatures.add(got.dfeatures);
  }
  return made;
}

/// How far the component that is furthest off `exact` is, in what chance explains, and rounding. `outcomes` are all there are.
double off(const test::moments& got, const test::moments& outcomes, const std::vector<double>& exact) {
  const auto mean = got.average(), variance = got.variance();
  double worst = mean.size() == exact.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double range = outcomes.most[i] - outcomes.least[i];
    const double by_chance = test::most_error_seen(got.mass, variance[i], range, static_cast<double>(exact.size()));
    worst = std::max(worst, std::abs(mean[i] - exact[i]) / (by_chance + 1e-12 * (1 + std::abs(exact[i]))));
  }
  return worst;
}

template <class Outer>
void check_unbiased(const problem& p, const golden_case& golden, const Outer& outer, draw_estimator form) {
  const auto got = drawn(p, outer, form), all = p.with(form);
  CHECK(off(got.output, all.output, values(golden, "expected_output")) <= 1);
  if (golden.has("expected_grad.logits1"))
    CHECK(off(got.dlogits1, all.dlogits1, values(golden, "expected_grad.logits1")) <= 1);
  CHECK(off(got.dlogits2, all.dlogits2,
            values(golden, golden.has("expected_grad.logits2") ? "expected_grad.logits2" : "expected_grad.logits")) <=
        1);
  CHECK(off(got.dfeatures, all.dfeatures, values(golden, "expected_grad.features")) <= 1);
}

void check_biased(const problem& p, const golden_case& golden) {
  const auto form = draw_estimator::official_zoom_in;
  const auto got = drawn(p, sampling::with_replacement{}, form), all = p.with(form);
  CHECK(off(got.output, all.output, values(golden, "expected_output")) <= 1);
  CHECK(off(got.dlogits2, all.dlogits2, all.dlogits2.average()) <= 1);
  CHECK(off(got.dfeatures, all.dfeatures, all.dfeatures.average()) <= 1);
  CHECK(off(got.dlogits2, all.dlogits2,
            values(golden, golden.has("expected_grad.logits2") ? "expected_grad.logits2" : "expected_grad.logits")) >
        3);
  CHECK(off(got.dfeatures, all.dfeatures, values(golden, "expected_grad.features")) > 3);
}

}  // namespace

TEST_CASE("sampling: the mean of many draws of one stage -> no bias, the form of the official code has") {
  const golden_case golden("sampling_enumeration_n3");
  const problem p = test::one_stage(golden);
  for (const auto form : {draw_estimator::unordered, draw_estimator::ordered})
    check_unbiased(p, golden, sampling::with_replacement{}, form);
  check_biased(p, golden);
}

TEST_CASE("sampling: the mean of many draws of two stages -> no bias, the form of the official code has") {
  const golden_case golden("zoom_in_enumeration_two_stage");
  const problem p = test::both_stages(golden);
  check_unbiased(p, golden, sampling::with_replacement{}, draw_estimator::unordered);
  check_unbiased(p, golden, sampling::stratified{}, draw_estimator::unordered);
  check_biased(p, golden);
}
