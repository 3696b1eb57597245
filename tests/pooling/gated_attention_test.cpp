#include <doctest/doctest.h>

#include <milkit/ops/gate_cpu.hpp>
#include <milkit/pooling/gated_attention.hpp>

#include <support/attention_check.hpp>

using namespace milkit;
using pooling::gated_attention;

TEST_CASE_TEMPLATE("gated_attention agrees with the oracle", T, float, double) {
  test::attention_agrees<T>(gated_attention<7, 5>{}, reference::tanh_branch);
  test::attention_agrees<T>(gated_attention<9, 1, ops::relu_function>{}, reference::relu_branch);
  test::attention_agrees<T>(gated_attention<1, 33, ops::gelu_function>{}, reference::gelu_branch);
}

TEST_CASE("gated_attention takes its widths at run time too") {
  test::attention_agrees<float>(gated_attention<dynamic_extent, dynamic_extent>{.in = {7}, .width = {5}},
                                reference::tanh_branch);
}

TEST_CASE("gated_attention: central differences") {
  test::attention_gradients(gated_attention<5, 3>{});
  test::attention_gradients(gated_attention<5, 3>{.dropout = 0.3});
  test::attention_gradients(gated_attention<5, 3, ops::gelu_function, false>{});
  test::attention_gradients(gated_attention<5, 3, ops::gelu_function>{.dropout = 0.3});
}

TEST_CASE_TEMPLATE("gated_attention: invariants", T, float, double) {
  test::pooling_check<gated_attention<7, 5>, T>(gated_attention<7, 5>{.dropout = 0.25}, 7).same_bits_however_it_runs();
  test::pooling_check<gated_attention<7, 5>, T>(gated_attention<7, 5>{.dropout = 0.25}, 7).chunks_anywhere();
  test::pooling_check<gated_attention<7, 5>, T>(gated_attention<7, 5>{}, 7).all();
  test::attention_feels_no_shift<T>(gated_attention<7, 5>{});
}

TEST_CASE_TEMPLATE("gated_attention: bag of one, equal and far apart logits, NaN and infinity", T, float, double) {
  test::attention_extremes<T>(gated_attention<7, 5>{});
}

TEST_CASE_TEMPLATE("gated_attention agrees with the golden tensors", T, float, double) {
  for (const char* name :
       {"pooling_gated_one", "pooling_gated_small", "pooling_gated", "pooling_gated_upstream", "pooling_ragged_gated"})
    test::attention_golden<T>(name, gated_attention<16, 8>{});
  test::attention_golden<T>("pooling_gated_no_bias", gated_attention<16, 8, ops::tanh_function, false>{});
  test::attention_golden<T>("pooling_gated_ascending", gated_attention<16, 8>{}, test::tolerance_of<T>(1e-9, 1e-4),
                            test::tolerance_of<T>(1e-9, 1e-3));
  for (const char* name : {"pooling_relu_gated", "pooling_relu_gated_one"})
    test::attention_golden<T>(name, gated_attention<16, 8, ops::relu_function, false>{});
}

TEST_CASE("gated_attention has 262 913 parameters at D = 512 and L = 256") {
  CHECK(parameter_count(gated_attention<512, 256>{}) == 262913);
  CHECK(parameter_count(gated_attention<512, 256, ops::tanh_function, false>{}) == 2 * 512 * 256 + 256);
}

TEST_CASE_TEMPLATE("gated_attention: scores with the golden dropout masks", T, float, double) {
  const test::golden_case golden("pooling_gated_dropout");
  const std::int64_t d = 16, width = 8;
  cpu backend{.threads = 2};
  const auto x = golden.get<T, 2>("x");
  const std::int64_t n = x.rows();
  const double scale = 1 / (1 - golden.option<double>("p"));
  const ops::gate_shape gate{.width = width};

  tensor<T, 2> weight({2 * width, d}), branches({n, 2 * width}), logits({n, 1}), dlogits({n, 1}), dw({1, width}),
      dx({n, d}), dweight({2 * width, d});
  tensor<T, 1> bias({2 * width}), dw_bias({1}), dbias({2 * width});
  tensor<std::uint8_t, 2> mask({n, 2 * width});
  const auto w = golden.get<T, 2>("attention.w.weight"), v = golden.get<T, 2>("attention.v.weight"),
             u = golden.get<T, 2>("attention.u.weight");
  const auto v_bias = golden.get<T, 1>("attention.v.bias"), u_bias = golden.get<T, 1>("attention.u.bias"),
             w_bias = golden.get<T, 1>("attention.w.bias");
  const auto v_mask = golden.get<double, 2>("mask.v"), u_mask = golden.get<double, 2>("mask.u");
  std::copy_n(v.data(), v.size(), weight.data());
  std::copy_n(u.data(), u.size(), weight.data() + v.size());
  std::copy_n(v_bias.data(), width, bias.data());
  std::copy_n(u_bias.data(), width, bias.data() + width);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t l = 0; l < width; ++l) {
      mask.view()(i, l) = v_mask.view()(i, l) != 0;
      mask.view()(i, width + l) = u_mask.view()(i, l) != 0;
    }

  ops::matmul(backend, x.view(), std::as_const(weight).view(), branches.view(), {.transpose_b = true});
  ops::gate(backend, gate, ops::tanh_function{}, branches.view(), bias.view(), w.view(), w_bias.view(), mask.view(),
            scale, logits.view());
  CHECK(golden.error("logits", logits) <= test::tolerance_of<T>(1e-9, 1e-5));

  const std::vector<std::int64_t> offsets = {0, n};
  const ops::bag_chunk<> chunk{{0, n}, {0, 1}, vector_view<const std::int64_t>(offsets.data(), {2})};
  tensor<double, 2> states({1, d + 2});
  tensor<T, 2> embedding({1, d}), attention({n, 1}), upstream({1, d});
  const auto grad_output = golden.get<T, 1>("grad_output");
  std::copy_n(grad_output.data(), d, upstream.data());
  ops::softmax_pool(backend, chunk, x.view(), std::as_const(logits).view(), states.view());
  ops::softmax_pool_finish(backend, states.view(), embedding.view());
  ops::softmax_weights(backend, chunk, std::as_const(logits).view(), states.view(), attention.view());
  CHECK(golden.error("output", embedding) <= test::tolerance_of<T>(1e-9, 1e-5));
  CHECK(golden.error("attention", attention) <= test::tolerance_of<T>(1e-9, 1e-5));

  ops::softmax_pool_backward(backend, chunk, x.view(), std::as_const(logits).view(), states.view(), upstream.view(),
                             matrix_view<T>(), vector_view<double>(), dlogits.view(), dx.view());
  ops::gate_backward(backend, gate, ops::tanh_function{}, branches.view(), w.view(), mask.view(), scale, dlogits.view(),
                     dw.view(), dw_bias.view());
  ops::matmul(backend, std::as_const(branches).view(), std::as_const(weight).view(), dx.view(), {.accumulate = true});
  ops::matmul(backend, std::as_const(branches).view(), x.view(), dweight.view(), {.transpose_a = true});
  ops::add_column_sums(backend, branches.view(), dbias.view());
  const double tolerance = test::tolerance_of<T>(1e-9, 1e-5);
  CHECK(golden.error("grad.x", dx) <= tolerance);
  CHECK(golden.error("grad.attention.v.weight", dweight.view().rows(0, width)) <= tolerance);
  CHECK(golden.error("grad.attention.u.weight", dweight.view().rows(width, width)) <= tolerance);
  CHECK(golden.error("grad.attention.v.bias", dbias.view().rows(0, width)) <= tolerance);
  CHECK(golden.error("grad.attention.u.bias", dbias.view().rows(width, width)) <= tolerance);
  CHECK(golden.error("grad.attention.w.weight", dw) <= tolerance);
  CHECK(golden.error("grad.attention.w.bias", dw_bias) <= tolerance);
}
