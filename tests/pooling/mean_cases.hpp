#pragma once

#include <milkit/pooling/mean.hpp>

#include <support/floats.hpp>
#include <support/pooling_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::mean_cases {

/// With d features, against plain loops.
template <class T>
void agrees(std::int64_t d, const std::vector<std::vector<std::int64_t>>& bags_of_sizes) {
  const pooling_check<pooling::mean, T> check({}, d);
  for (const std::vector<std::int64_t>& sizes : bags_of_sizes) {
    const auto bags = random_bags<T>(sizes, d);
    const auto got = check.run(bags);
    check.sums_to_one(got, bags);
    for (std::int64_t b = 0; b < bags.bags(); ++b) {
      const auto x = oracle_bag(bags, b);
      const auto want = reference::mean_pool(x);
      const std::int64_t first = bags.offsets[static_cast<std::size_t>(b)], n = static_cast<std::int64_t>(x.n);
      CHECK(relative_error(got.embedding.view().rows(b, 1), want.embedding) <= tolerance_of<T>(1e-12, 1e-6));
      CHECK(relative_error(got.attention.view().rows(first, n), want.attention) <= tolerance_of<T>(1e-15, 1e-7));
      reference::numbers dx;
      for (std::int64_t i = 0; i < n; ++i)
        for (const double each : elements(bags.dembedding.view().rows(b, 1)))
          dx.push_back(each / static_cast<double>(n));
      CHECK(relative_error(got.dx.view().rows(first, n), dx) <= tolerance_of<T>(1e-15, 1e-6));
    }
  }
}

TEST_CASE_TEMPLATE("mean agrees with the oracle", T, MILKIT_FLOATS) { agrees<T>(7, bag_sizes); }

TEST_CASE_TEMPLATE("mean over 65537 instances", T, MILKIT_FLOATS) { agrees<T>(2, many_instances); }

TEST_CASE("mean: central differences") { check_pooling_gradients(pooling::mean{}, 5, 0, {.chunk_rows = 4}); }

TEST_CASE_TEMPLATE("mean: invariants", T, MILKIT_FLOATS) { pooling_check<pooling::mean, T>({}, 7).all(); }

TEST_CASE_TEMPLATE("mean agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const char* name : {"pooling_mean", "pooling_mean_one", "pooling_ragged_mean"}) {
    CAPTURE(name);
    const golden_case golden(name);
    const auto got = run_pooling<T>(pooling::mean{}, {}, golden_bags<T>(golden), {.chunk_rows = 5});
    CHECK(golden.error("output", got.embedding) <= tolerance_of<T>(1e-9, 1e-5));
    CHECK(golden.error("attention", got.attention) <= tolerance_of<T>(1e-9, 1e-5));
    CHECK(golden.error("grad.x", got.dx) <= tolerance_of<T>(1e-9, 1e-5));
  }
}

TEST_CASE("mean: NaN and infinity stay in their column and bag") {
  auto bags = random_bags<float>({20, 9}, 3);
  bags.x.view()(4, 0) = std::nanf("");
  bags.x.view()(7, 1) = HUGE_VALF;
  const auto got = run_pooling<float>(pooling::mean{}, {}, bags, {.chunk_rows = 6});
  CHECK(std::isnan(got.embedding.view()(0, 0)));
  CHECK(got.embedding.view()(0, 1) == HUGE_VALF);
  CHECK(std::isfinite(got.embedding.view()(0, 2)));
  for (const double each : elements(got.embedding.view().rows(1, 1))) CHECK(std::isfinite(each));
}

TEST_CASE("mean: long sums keep their digits") {
  ragged<float> bags{{0, 100000}, tensor<float, 2>({100000, 1}), tensor<float, 2>({1, 1}), {}};
  std::fill_n(bags.x.data(), 100000, 0.1f);
  const double got = static_cast<double>(run_pooling<float>(pooling::mean{}, {}, bags).embedding.data()[0]);
  CHECK(close(got, static_cast<double>(0.1f), {.relative = sums_in_double ? 0 : 1e-6}));
}

}  // namespace milkit::test::mean_cases

MILKIT_UNOPTIMISED_END
