// labels: unsanitized
#include <doctest/doctest.h>

#include <milkit/sampling/with_replacement.hpp>
#include <milkit/sampling/without_replacement.hpp>

#include <support/golden.hpp>

#include "stages.hpp"

// No bias in 10^6 draws of the samplers themselves: every component of output and gradients lies within 4 standard
// errors of the exact value, and the norm of all errors at what chance makes of it. The official code's form fails
// both.

using namespace milkit;
using ops::draw_estimator;
using test::golden_case;

namespace {

struct means {
  test::moments output, dlogits1, dlogits2, dfeatures;
};
constexpr std::int64_t images = 1000;

template <class Outer>
means repeated(const test::two_stages& given, std::int64_t draws, const tensor<double, 1>& upstream, const Outer& outer,
               draw_estimator form, std::int64_t batches) {
  cpu backend{.threads = 2};
  means made;
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    const auto got = given.run(
        backend, images, draws, outer, sampling::without_replacement{form},
        [&](matrix_view<double>, matrix_view<double> gradient) {
          for (std::int64_t r = 0; r < images; ++r) std::copy_n(upstream.data(), upstream.extent(0), gradient.row(r));
        },
        random_stream(11, static_cast<std::uint64_t>(batch), 2));
    made.output.add(got.output);
    made.dlogits1.add(got.dlogits1);
    made.dlogits2.add(got.dlogits2);
    made.dfeatures.add(got.dfeatures);
  }
  return made;
}

struct error {
  double worst = 0;  ///< of a component, in its standard errors
  double norm = 0;   ///< of the mean's error, in the standard error of the whole
};
error error_of(const test::moments& got, const golden_case& golden, const std::string& name) {
  const auto exact = golden.file().read<double>(name, data::conversion::nearest).values;
  const auto mean = got.average(), variance = got.variance();
  error made;
  for (std::size_t i = 0; i < exact.size(); ++i)
    made.worst =
        std::max(made.worst, (std::abs(mean[i] - exact[i]) - 1e-12) / std::sqrt(variance[i] / got.mass + 1e-30));
  made.norm = test::distance(mean, exact) / std::sqrt(test::total(variance) / got.mass + 1e-30);
  return made;
}
bool unbiased(const error& e) {
  CAPTURE(e.worst);
  CAPTURE(e.norm);
  return e.worst <= 4 && e.norm <= 2;
}
bool far_off(const error& e) { return e.worst > 20 && e.norm > 20; }

}  // namespace

TEST_CASE("sampling: one stage, 10^6 draws -> no bias; the official form has one") {
  const golden_case golden("sampling_enumeration_n3");
  const auto attention = golden.get<double, 1>("attention");
  const auto features = golden.get<double, 2>("features");
  const std::int64_t items = attention.extent(0), draws = golden.get<double, 1>("weights").extent(0);
  test::two_stages one{tensor<double, 1>(shape<1>{1}), tensor<double, 2>({1, items}),
                       tensor<double, 3>({1, items, features.extent(1)})};
  one.attention1.data()[0] = 1;
  std::copy_n(attention.data(), items, one.attention2.data());
  std::copy_n(features.data(), features.size(), one.features.data());
  const auto upstream = golden.get<double, 1>("grad_output");
  const sampling::with_replacement outer;
  for (const auto form : {draw_estimator::unordered, draw_estimator::ordered}) {
    const auto got = repeated(one, draws, upstream, outer, form, form == draw_estimator::unordered ? 1000 : 100);
    CHECK(unbiased(error_of(got.output, golden, "expected_output")));
    CHECK(unbiased(error_of(got.dlogits2, golden, "expected_grad.logits")));
    CHECK(unbiased(error_of(got.dfeatures, golden, "expected_grad.features")));
  }
  const auto code = repeated(one, draws, upstream, outer, draw_estimator::official_zoom_in, 100);
  CHECK(unbiased(error_of(code.output, golden, "expected_output")));
  CHECK(far_off(error_of(code.dlogits2, golden, "expected_grad.logits")));
  CHECK(far_off(error_of(code.dfeatures, golden, "expected_grad.features")));
}

TEST_CASE("sampling: two stages, 10^6 draws -> no bias; the official form has one") {
  const golden_case golden("zoom_in_enumeration_two_stage");
  const test::two_stages two{golden.get<double, 1>("attention1"), golden.get<double, 2>("attention2"),
                             golden.get<double, 3>("features")};
  const std::int64_t draws = golden.get<std::int64_t, 2>("positions").extent(1);
  const auto upstream = golden.get<double, 1>("grad_output");
  const auto check = [&](const auto& outer, std::int64_t batches) {
    const auto got = repeated(two, draws, upstream, outer, draw_estimator::unordered, batches);
    CHECK(unbiased(error_of(got.output, golden, "expected_output")));
    CHECK(unbiased(error_of(got.dlogits1, golden, "expected_grad.logits1")));
    CHECK(unbiased(error_of(got.dlogits2, golden, "expected_grad.logits2")));
    CHECK(unbiased(error_of(got.dfeatures, golden, "expected_grad.features")));
  };
  check(sampling::with_replacement{}, 1000);
  check(sampling::stratified{}, 200);
  const auto code = repeated(two, draws, upstream, sampling::with_replacement{}, draw_estimator::official_zoom_in, 200);
  CHECK(unbiased(error_of(code.output, golden, "expected_output")));
  CHECK(far_off(error_of(code.dlogits2, golden, "expected_grad.logits2")));
  CHECK(far_off(error_of(code.dfeatures, golden, "expected_grad.features")));
}
