#pragma once

#include <milkit/ops/bags/gate.hpp>
#include <milkit/pooling/gated_attention.hpp>

#include <support/attention_check.hpp>
#include <support/floats.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::gated_attention_cases {

using pooling::gated_attention;

TEST_CASE_TEMPLATE("gated_attention agrees with the oracle", T, MILKIT_FLOATS) {
  attention_agrees<T>(gated_attention<7, 5>{}, reference::tanh_branch);
  attention_agrees<T>(gated_attention<9, 1, ops::relu_function>{}, reference::relu_branch);
  attention_agrees<T>(gated_attention<1, 33, ops::gelu_function>{}, reference::gelu_branch);
}

TEST_CASE("gated_attention takes its widths at run time too") {
  attention_agrees<float>(gated_attention<dynamic_extent, dynamic_extent>{.in = {7}, .width = {5}},
                          reference::tanh_branch);
}

TEST_CASE("gated_attention over 65537 instances") {
  attention_agrees<float>(gated_attention<dynamic_extent, dynamic_extent>{.in = {2}, .width = {1}},
                          reference::tanh_branch, many_instances);
}

TEST_CASE("gated_attention: central differences") {
  attention_gradients(gated_attention<5, 3>{});
  attention_gradients(gated_attention<5, 3>{.dropout = 0.3});
  attention_gradients(gated_attention<5, 3, ops::gelu_function, false>{});
  attention_gradients(gated_attention<5, 3, ops::gelu_function>{.dropout = 0.3});
}

TEST_CASE_TEMPLATE("gated_attention: invariants", T, MILKIT_FLOATS) {
  pooling_check<gated_attention<7, 5>, T>(gated_attention<7, 5>{.dropout = 0.25}, 7).same_bits_however_it_runs();
  pooling_check<gated_attention<7, 5>, T>(gated_attention<7, 5>{.dropout = 0.25}, 7).chunks_anywhere();
  pooling_check<gated_attention<7, 5>, T>(gated_attention<7, 5>{}, 7).all();
  attention_feels_no_shift<T>(gated_attention<7, 5>{});
}

TEST_CASE_TEMPLATE("gated_attention: bag of one, equal and far apart logits, NaN and infinity", T, MILKIT_FLOATS) {
  attention_extremes<T>(gated_attention<7, 5>{});
}

TEST_CASE_TEMPLATE("gated_attention agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const char* name :
       {"pooling_gated_one", "pooling_gated_small", "pooling_gated", "pooling_gated_upstream", "pooling_ragged_gated"})
    attention_golden<T>(name, gated_attention<16, 8>{});
  attention_golden<T>("pooling_gated_no_bias", gated_attention<16, 8, ops::tanh_function, false>{});
  attention_golden<T>("pooling_gated_ascending", gated_attention<16, 8>{}, tolerance_of<T>(1e-9, 1e-4),
                      tolerance_of<T>(1e-9, 1e-3));
  using relu_gated = gated_attention<16, 8, ops::relu_function, false>;
  for (const char* name : {"pooling_relu_gated", "pooling_relu_gated_one", "mhim_abmil_gated", "mhim_abmil_gated_one"})
    attention_golden<T>(name, relu_gated{});
  attention_golden<T>("mhim_abmil_gated_tanh", gated_attention<16, 8, ops::tanh_function, false>{});
  attention_golden<T>("mhim_abmil_gated_gelu", gated_attention<16, 8, ops::gelu_function, false>{});
  attention_golden<T>("mhim_abmil_gated_offset", relu_gated{}, tolerance_of<T>(1e-10, 1e-4),
                      tolerance_of<T>(1e-10, 1e-3));
}

TEST_CASE_TEMPLATE("gated_attention: scores with the golden dropout masks", T, MILKIT_FLOATS) {
  const golden_case golden("pooling_gated_dropout");
  constexpr std::int64_t d = 16, width = 8;
  const auto features = golden.get<T, 2>("x");
  const std::int64_t n = features.rows();
  const double scale = 1 / (1 - golden.option<double>("p"));
  const ops::gate_shape gate{.width = width};

  tensor<T, 2> both_weights({2 * width, d}), dembedding({1, d});
  tensor<T, 1> both_biases({2 * width});
  tensor<std::uint8_t, 2> both_masks({n, 2 * width});
  const auto v = golden.get<T, 2>("attention.v.weight"), u = golden.get<T, 2>("attention.u.weight");
  const auto v_bias = golden.get<T, 1>("attention.v.bias"), u_bias = golden.get<T, 1>("attention.u.bias"),
             grad_output = golden.get<T, 1>("grad_output");
  const auto v_mask = golden.get<double, 2>("mask.v"), u_mask = golden.get<double, 2>("mask.u");
  std::copy_n(v.data(), v.size(), both_weights.data());
  std::copy_n(u.data(), u.size(), both_weights.data() + v.size());
  std::copy_n(v_bias.data(), width, both_biases.data());
  std::copy_n(u_bias.data(), width, both_biases.data() + width);
  std::copy_n(grad_output.data(), d, dembedding.data());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t l = 0; l < width; ++l) {
      both_masks.view()(i, l) = v_mask.view()(i, l) != 0;
      both_masks.view()(i, width + l) = u_mask.view()(i, l) != 0;
    }

  backend_type backend = make_backend();
  const auto x = put(features), weight = put(both_weights), w = put(golden.get<T, 2>("attention.w.weight")),
             upstream = put(dembedding);
  const auto bias = put(both_biases), w_bias = put(golden.get<T, 1>("attention.w.bias"));
  const auto mask = put(both_masks);
  resident<T, 2> branches({n, 2 * width}), logits({n, 1}), dlogits({n, 1}), dw({1, width}), dx({n, d}),
      dweight({2 * width, d}), embedding({1, d}), attention({n, 1});
  resident<T, 1> dw_bias({1}), dbias({2 * width});
  resident<double, 2> states({1, d + 2});
  ops::matmul(backend, x.view(), weight.view(), branches.view(), {.transpose_b = true});
  ops::gate(backend, gate, ops::tanh_function{}, branches.view(), bias.view(), w.view(), w_bias.view(), mask.view(),
            scale, logits.view());

  const std::int64_t ends[] = {0, n};
  const auto offsets = put(vector_view<const std::int64_t>(ends, {2}));
  const ops::bag_chunk<backend_space> chunk{{0, n}, {0, 1}, offsets.view()};
  ops::softmax_pool(backend, chunk, x.view(), constant(logits), states.view());
  ops::softmax_pool_finish(backend, states.view(), embedding.view());
  ops::softmax_weights(backend, chunk, constant(logits), states.view(), attention.view());
  const double tolerance = tolerance_of<T>(1e-9, 1e-5);
  CHECK(golden.error("logits", fetch(logits)) <= tolerance);
  CHECK(golden.error("output", fetch(embedding)) <= tolerance);
  CHECK(golden.error("attention", fetch(attention)) <= tolerance);

  ops::softmax_pool_backward(backend, chunk, x.view(), constant(logits), states.view(), upstream.view(),
                             matrix_view<T, backend_space>(), vector_view<double, backend_space>(), dlogits.view(),
                             dx.view());
  ops::gate_backward(backend, gate, ops::tanh_function{}, branches.view(), w.view(), mask.view(), scale, dlogits.view(),
                     dw.view(), dw_bias.view());
  ops::matmul(backend, constant(branches), weight.view(), dx.view(), {.accumulate = true});
  ops::matmul(backend, constant(branches), x.view(), dweight.view(), {.transpose_a = true});
  ops::add_column_sums(backend, branches.view(), dbias.view());
  const auto dweights = fetch(dweight);
  const auto dbiases = fetch(dbias);
  CHECK(golden.error("grad.x", fetch(dx)) <= tolerance);
  CHECK(golden.error("grad.attention.v.weight", dweights.view().rows(0, width)) <= tolerance);
  CHECK(golden.error("grad.attention.u.weight", dweights.view().rows(width, width)) <= tolerance);
  CHECK(golden.error("grad.attention.v.bias", dbiases.view().rows(0, width)) <= tolerance);
  CHECK(golden.error("grad.attention.u.bias", dbiases.view().rows(width, width)) <= tolerance);
  CHECK(golden.error("grad.attention.w.weight", fetch(dw)) <= tolerance);
  CHECK(golden.error("grad.attention.w.bias", fetch(dw_bias)) <= tolerance);
}

}  // namespace milkit::test::gated_attention_cases

MILKIT_UNOPTIMISED_END
