#include <doctest/doctest.h>

#include <milkit/nn/linear.hpp>
#include <milkit/ops/linear_cpu.hpp>

#include <reference/matmul.hpp>
#include <support/golden.hpp>
#include <support/layer_check.hpp>

using namespace milkit;
using test::golden_tolerance, test::relative_error;

TEST_CASE("linear keeps the contract of a layer") {
  test::layer_check(nn::linear<7, 5>{}, shape<2>{9, 7}).all();
  test::layer_check(nn::linear<16, 1, false>{}, shape<2>{4, 16}).all();
  test::layer_check(nn::linear<1, 31>{}, shape<2>{2, 1}).all();
  test::layer_check(nn::linear<dynamic_extent, 3>{.in = {2}}, shape<2>{33, 2}).all();
}

TEST_CASE_TEMPLATE("linear agrees with the oracle at odd sizes", T, float, double) {
  cpu backend{.threads = 2};
  for (const auto& [n, d, m] : {std::tuple<std::int64_t, std::int64_t, std::int64_t>{1, 1, 1},
                                {2, 31, 33},
                                {33, 2, 31},
                                {257, 33, 2},
                                {1000, 31, 5}}) {
    const auto x = test::normals<T>(shape<2>{n, d}, 1), weight = test::normals<T>(shape<2>{m, d}, 2),
               dy = test::normals<T>(shape<2>{n, m}, 3);
    const auto bias = test::normals<T>(shape<1>{m}, 4);
    tensor<T, 2> y(dy.shape()), dx(x.shape()), dweight(weight.shape());
    tensor<T, 1> dbias(bias.shape());
    ops::linear(backend, x.view(), weight.view(), bias.view(), y.view());
    ops::linear_backward(backend, x.view(), weight.view(), dy.view(), dx.view(), dweight.view(), dbias.view());
    const auto rows = static_cast<std::size_t>(n), in = static_cast<std::size_t>(d), out = static_cast<std::size_t>(m);
    std::vector<double> repeated, sums(out, 0.0);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < out; ++j) {
        repeated.push_back(static_cast<double>(bias.data()[j]));
        sums[j] += static_cast<double>(dy.data()[i * out + j]);
      }
    const double allowed = test::tolerance_of<T>(1e-13, 2e-6);
    using test::elements;
    CHECK(relative_error(
              y, reference::matmul(elements(x), elements(weight), repeated, rows, out, in, false, true, 1)) <= allowed);
    CHECK(relative_error(dx, reference::matmul(elements(dy), elements(weight), elements(dx), rows, in, out, false,
                                               false, 0)) <= allowed);
    CHECK(relative_error(dweight, reference::matmul(elements(dy), elements(x), elements(dweight), out, in, rows, true,
                                                    false, 0)) <= allowed);
    CHECK(relative_error(dbias, sums) <= allowed);
  }
}

TEST_CASE("linear adds float column sums without losing small terms") {
  cpu backend{.threads = 1};
  tensor<float, 2> x(shape<2>{100001, 1});
  std::fill_n(x.data(), x.size(), 1.0f);
  x.data()[0] = 1e8f;  // in float alone nothing could be added to it
  tensor<float, 1> sums(shape<1>{1});
  ops::add_column_sums(backend, x.view().rows(1, 100000), sums.view());
  CHECK(sums.data()[0] == 100000);
  sums.data()[0] = 0;
  ops::add_column_sums(backend, x.view(), sums.view());
  CHECK(test::close(static_cast<double>(sums.data()[0]), 100100000.0, {0, 1e-5}));
}

TEST_CASE("linear refuses other widths and an unset dimension") {
  CHECK_THROWS_WITH_AS((nn::linear<4, 2>{}.output_shape({3, 5})),
                       "milkit::nn::linear: features of the input is 5, expected 4", shape_error);
  CHECK_THROWS_WITH_AS((nn::linear<dynamic_extent, 2>{}.output_shape({3, 5})),
                       "milkit: a dimension known at run time is 0; set it in the layer's braces", value_error);
  cpu backend{.threads = 1};
  tensor<float, 2> x(shape<2>{2, 3}), weight(shape<2>{4, 3}), y(shape<2>{2, 4});
  CHECK_THROWS_WITH_AS(
      ops::linear(backend, x.view(), weight.view(), tensor<float, 1>(shape<1>{2}).view(), y.view()),
      "milkit::ops::linear: extent of bias is 2, expected 4", shape_error);
  CHECK_THROWS_WITH_AS(ops::linear(backend, x.view(), y.view(), vector_view<float>(), y.view()),
                       "milkit::ops::linear: columns of weight is 4, expected 3", shape_error);
}

TEST_CASE_TEMPLATE("linear agrees with the golden tensors", T, float, double) {
  cpu backend{.threads = 2};
  for (const std::string name : {"core_linear", "core_linear_one", "core_linear_no_bias"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto x = golden.get<T, 2>("x"), weight = golden.get<T, 2>("weight"), dy = golden.get<T, 2>("grad_output");
    const auto bias = golden.has("bias") ? golden.get<T, 1>("bias") : tensor<T, 1>();
    tensor<T, 2> y(dy.shape()), dx(x.shape()), dweight(weight.shape());
    tensor<T, 1> dbias(bias.shape());
    const bool biased = golden.has("bias");
    ops::linear(backend, x.view(), weight.view(), biased ? bias.view() : vector_view<const T>(), y.view());
    ops::linear_backward(backend, x.view(), weight.view(), dy.view(), dx.view(), dweight.view(),
                         biased ? dbias.view() : vector_view<T>());
    CHECK(golden.error("output", y) <= golden_tolerance<T>);
    CHECK(golden.error("grad.x", dx) <= golden_tolerance<T>);
    CHECK(golden.error("grad.weight", dweight) <= golden_tolerance<T>);
    if (biased) CHECK(golden.error("grad.bias", dbias) <= golden_tolerance<T>);
  }
}
