#pragma once

#include <milkit/loss/entropy_regulariser.hpp>

#include <support/floats.hpp>
#include <support/regulariser_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::entropy_regulariser_cases {

TEST_CASE("entropy_regulariser keeps the contract of a regulariser, both forms") {
  check_regulariser(loss::entropy_regulariser{.lambda = 0.7},
                    [](const auto& logits, const auto&) { return reference::entropy(logits, 0.7); });
  check_regulariser(loss::entropy_regulariser{.lambda = 0.7, .official = true},
                    [](const auto& logits, const auto&) { return reference::official_entropy(logits, 0.7); });
}

TEST_CASE("entropy_regulariser of attention without an entry, of equal and of single ones") {
  backend_type backend = make_backend();
  const loss::entropy_regulariser entropy{.lambda = 2};
  tensor<double, 1> logits(shape<1>{7});
  const double values[] = {0, 0, 0, 0, 5, -HUGE_VAL, 1};
  std::copy_n(values, 7, logits.data());
  const auto got = run_regulariser(backend, entropy, logits, {0, 4, 5, 7});
  CHECK(relative_error(got.values, std::vector<double>{-2 * std::log(4.0), 0, 0}) <= 1e-15);
  for (const double each : elements(got.dlogits)) CHECK(std::abs(each) <= 1e-15);  // equal, alone, and one without mass
  const auto official =
      run_regulariser(backend, loss::entropy_regulariser{.lambda = 2, .official = true}, logits, {0, 4, 5, 7});
  CHECK(close(official.values[1], 2 * std::log(1 + 1e-6), {1e-15, 1e-9}));
  for (const double each : elements(official.dlogits)) CHECK(std::isfinite(each));
}

TEST_CASE_TEMPLATE("entropy_regulariser agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const char* name :
       {"zoom_in_entropy", "zoom_in_entropy_zeros", "zoom_in_entropy_single", "zoom_in_entropy_official"}) {
    CAPTURE(name);
    const golden_case golden(name);
    backend_type backend = make_backend();
    const auto logits = golden.get<T, 1>("logits");
    const loss::entropy_regulariser entropy{.lambda = golden.option<double>("lambda"),
                                            .official = std::string(name).ends_with("official")};
    const auto got = run_regulariser<T>(backend, entropy, logits, {0, logits.extent(0)});
    CHECK(golden.error("attention", got.attention) <= golden_tolerance<T>);
    CHECK(golden.error("loss", got.values) <= golden_tolerance<T>);
    CHECK(golden.error("grad.logits", got.dlogits) <= tolerance_of<T>(1e-10, 1e-4));
    if (golden.has("entropy")) {
      const auto h =
          run_regulariser<T>(backend, loss::entropy_regulariser{.lambda = -1}, logits, {0, logits.extent(0)});
      CHECK(golden.error("entropy", h.values) <= golden_tolerance<T>);
    }
  }
}

}  // namespace milkit::test::entropy_regulariser_cases

MILKIT_UNOPTIMISED_END
