#pragma once

#include <milkit/pooling/max.hpp>

#include <support/floats.hpp>
#include <support/pooling_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::max_cases {

/// With d features, against plain loops.
template <class T>
void agrees(std::int64_t d, const std::vector<std::vector<std::int64_t>>& bags_of_sizes) {
  const pooling_check<pooling::max, T> check({}, d);
  for (const std::vector<std::int64_t>& sizes : bags_of_sizes) {
    auto bags = random_bags<T>(sizes, d);
    for (std::int64_t i = 0; i < bags.x.size(); i += 3) bags.x.data()[i] = std::round(bags.x.data()[i]);  // ties
    const auto got = check.run(bags, {.chunk_rows = sizes.front() > 1000 ? 0 : 24});
    check.sums_to_one(got, bags);
    for (std::int64_t b = 0; b < bags.bags(); ++b) {
      const auto x = oracle_bag(bags, b);
      const auto want = reference::max_pool(x);
      const auto rows = reference::maxima(x);
      const std::int64_t first = bags.offsets[static_cast<std::size_t>(b)], n = static_cast<std::int64_t>(x.n);
      CHECK(elements(got.embedding.view().rows(b, 1)) == want.embedding);
      CHECK(relative_error(got.attention.view().rows(first, n), want.attention) <= tolerance_of<T>(1e-14, 1e-6));
      reference::numbers dx(x.values.size(), 0.0);
      for (std::size_t j = 0; j < x.d; ++j)
        dx[rows[j] * x.d + j] = static_cast<double>(bags.dembedding.view()(b, static_cast<std::int64_t>(j)));
      CHECK(elements(got.dx.view().rows(first, n)) == dx);
    }
  }
}

TEST_CASE_TEMPLATE("max agrees with the oracle", T, MILKIT_FLOATS) { agrees<T>(7, bag_sizes); }

TEST_CASE_TEMPLATE("max over 65537 instances", T, MILKIT_FLOATS) { agrees<T>(2, many_instances); }

TEST_CASE("max: central differences") { check_pooling_gradients(pooling::max{}, 5, 0, {.chunk_rows = 4}); }

TEST_CASE_TEMPLATE("max: invariants", T, MILKIT_FLOATS) { pooling_check<pooling::max, T>({}, 7).all(); }

TEST_CASE_TEMPLATE("max agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const char* name : {"pooling_max", "pooling_max_ties", "pooling_ragged_max"}) {
    CAPTURE(name);
    const golden_case golden(name);
    const auto bags = golden_bags<T>(golden);
    const auto got = run_pooling<T>(pooling::max{}, {}, bags, {.chunk_rows = 5});
    CHECK(golden.error("output", got.embedding) <= tolerance_of<T>(1e-9, 1e-5));
    CHECK(golden.error("grad.x", got.dx) <= tolerance_of<T>(1e-9, 1e-5));
    // The stored indices count from the first row of the bag.
    const auto indices = golden.file().read<std::int64_t>("indices").values;
    tensor<double, 2> attention({bags.x.rows(), 1});
    for (std::size_t k = 0; k < indices.size(); ++k) {
      const std::int64_t bag = static_cast<std::int64_t>(k) / bags.x.extent(1);
      attention.data()[bags.offsets[static_cast<std::size_t>(bag)] + indices[k]] +=
          1.0 / static_cast<double>(bags.x.extent(1));
    }
    CHECK(relative_error(got.attention, attention) <= tolerance_of<T>(1e-9, 1e-5));
  }
}

TEST_CASE("max: NaN is larger than any number, ties go to the lower index") {
  auto bags = random_bags<double>({20, 9}, 3);
  bags.x.view()(4, 0) = bags.x.view()(12, 0) = std::nan("");
  bags.x.view()(7, 1) = bags.x.view()(3, 1) = HUGE_VAL;
  for (std::int64_t i = 0; i < 20; ++i) bags.x.view()(i, 2) = -HUGE_VAL;
  for (const std::int64_t chunk_rows : {0, 1, 6}) {
    const auto got = run_pooling<double>(pooling::max{}, {}, bags, {.chunk_rows = chunk_rows});
    CHECK(std::isnan(got.embedding.view()(0, 0)));
    CHECK(got.embedding.view()(0, 1) == HUGE_VAL);
    CHECK(got.embedding.view()(0, 2) == -HUGE_VAL);
    CHECK(got.dx.view()(4, 0) == bags.dembedding.view()(0, 0));
    CHECK(got.dx.view()(3, 1) == bags.dembedding.view()(0, 1));
    CHECK(got.dx.view()(0, 2) == bags.dembedding.view()(0, 2));
    for (const double each : elements(got.embedding.view().rows(1, 1))) CHECK(std::isfinite(each));
  }
}

}  // namespace milkit::test::max_cases

MILKIT_UNOPTIMISED_END
