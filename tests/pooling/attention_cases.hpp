#pragma once

#include <milkit/pooling/attention.hpp>

#include <support/attention_check.hpp>
#include <support/floats.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::attention_cases {

using pooling::attention;

TEST_CASE_TEMPLATE("attention agrees with the oracle", T, MILKIT_FLOATS) {
  attention_agrees<T>(attention<7, 5>{}, reference::tanh_branch);
  attention_agrees<T>(attention<1, 33, ops::gelu_function>{}, reference::gelu_branch);
}

TEST_CASE("attention: central differences") {
  attention_gradients(attention<5, 3>{.dropout = 0.3});
  attention_gradients(attention<5, 3, ops::gelu_function>{.dropout = 0.3});
}

TEST_CASE_TEMPLATE("attention: invariants", T, MILKIT_FLOATS) {
  pooling_check<attention<7, 5>, T>(attention<7, 5>{.dropout = 0.25}, 7).same_bits_however_it_runs();
  pooling_check<attention<7, 5>, T>(attention<7, 5>{}, 7).all();
  attention_feels_no_shift<T>(attention<7, 5>{});
}

TEST_CASE_TEMPLATE("attention: bag of one, equal and far apart logits, NaN and infinity", T, MILKIT_FLOATS) {
  attention_extremes<T>(attention<7, 5>{});
}

TEST_CASE_TEMPLATE("attention agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const char* name : {"pooling_attention_one", "pooling_attention", "pooling_ragged_attention"})
    attention_golden<T>(name, attention<16, 8>{});
  attention_golden<T>("pooling_attention_no_bias", attention<16, 8, ops::tanh_function, false>{});
  for (const char* name : {"pooling_relu_attention", "mhim_abmil_plain"})
    attention_golden<T>(name, attention<16, 8, ops::relu_function, false>{});
}

}  // namespace milkit::test::attention_cases

MILKIT_UNOPTIMISED_END
