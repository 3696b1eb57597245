#pragma once

#include <milkit/pooling/dual_gated_attention.hpp>
#include <milkit/pooling/gated_attention.hpp>

#include <support/attention_check.hpp>
#include <support/floats.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::dual_gated_attention_cases {

using pooling::dual_gated_attention;

TEST_CASE_TEMPLATE("dual_gated_attention agrees with the oracle", T, MILKIT_FLOATS) {
  attention_agrees<T>(dual_gated_attention<7, 5>{}, reference::tanh_branch);
}

TEST_CASE("dual_gated_attention: central differences") {
  attention_gradients(dual_gated_attention<5, 3>{.dropout = 0.3});
  attention_gradients(dual_gated_attention<5, 3, ops::gelu_function, false>{});
}

TEST_CASE_TEMPLATE("dual_gated_attention: invariants", T, MILKIT_FLOATS) {
  pooling_check<dual_gated_attention<7, 5>, T>(dual_gated_attention<7, 5>{.dropout = 0.25}, 7)
      .same_bits_however_it_runs();
  pooling_check<dual_gated_attention<7, 5>, T>(dual_gated_attention<7, 5>{}, 7).all();
  attention_feels_no_shift<T>(dual_gated_attention<7, 5>{});
}

TEST_CASE_TEMPLATE("dual_gated_attention: bag of one, equal and far apart logits, NaN and infinity", T, MILKIT_FLOATS) {
  attention_extremes<T>(dual_gated_attention<7, 5>{});
}

TEST_CASE_TEMPLATE("dual_gated_attention agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const char* name : {"pooling_dual_gated", "pooling_dual_gated_one", "pooling_ragged_dual"})
    attention_golden<T>(name, dual_gated_attention<16, 8>{});
}

TEST_CASE("dual_gated_attention: the zoom head gives no embedding, and gets no gradient from it") {
  CHECK(parameter_count(dual_gated_attention<512, 256>{}) == 2 * 262913);
  using network = pooling_of<dual_gated_attention<7, 5>>;
  const auto bags = random_bags<double>({33, 2}, 7);
  auto weights = initial_parameters<double>(network{}, {.seed = 3});
  const auto before = run_pooling<double>(dual_gated_attention<7, 5>{}, weights.flat(), bags);
  for (const auto& entry : weights.entries()) {
    if (!entry.name.starts_with("pooler.zoom.")) continue;
    for (const double g : elements(before.gradient.view().rows(entry.offset, entry.size()))) CHECK(g == 0);
    for (std::int64_t i = 0; i < entry.size(); ++i) weights.flat()(entry.offset + i) += 1;
  }
  const auto after = run_pooling<double>(dual_gated_attention<7, 5>{}, weights.flat(), bags);
  CHECK(same_bits(after.embedding, before.embedding));
  CHECK(same_bits(after.attention.view().columns(0, 1), before.attention.view().columns(0, 1)));
  CHECK_FALSE(same_bits(after.attention.view().columns(1, 1), before.attention.view().columns(1, 1)));
}

}  // namespace milkit::test::dual_gated_attention_cases

MILKIT_UNOPTIMISED_END
