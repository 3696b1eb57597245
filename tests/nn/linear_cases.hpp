#pragma once

#include <milkit/nn/linear.hpp>

#include <reference/matmul.hpp>
#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::linear_cases {

/// y, dx, dweight and dbias of `ops::linear` and `ops::linear_backward`.
template <class T>
struct linear_result {
  tensor<T, 2> y, dx, dweight;
  tensor<T, 1> dbias;
};
template <class T>
linear_result<T> run(const tensor<T, 2>& x, const tensor<T, 2>& weight, const tensor<T, 1>& bias,
                     const tensor<T, 2>& dy) {
  backend_type backend = make_backend();
  const auto in = put(x), w = put(weight), upstream = put(dy);
  const auto b = put(bias);
  resident<T, 2> y(dy.shape()), dx(x.shape()), dweight(weight.shape());
  resident<T, 1> dbias(bias.shape());
  const bool biased = bias.size() > 0;
  ops::linear(backend, in.view(), w.view(), biased ? b.view() : vector_view<const T, backend_space>(), y.view());
  ops::linear_backward(backend, in.view(), w.view(), upstream.view(), dx.view(), dweight.view(),
                       biased ? dbias.view() : vector_view<T, backend_space>());
  return {fetch(y), fetch(dx), fetch(dweight), fetch(dbias)};
}

TEST_CASE("linear keeps the contract of a layer") {
  layer_check(nn::linear<7, 5>{}, shape<2>{9, 7}).all();
  layer_check(nn::linear<16, 1, false>{}, shape<2>{4, 16}).all();
  layer_check(nn::linear<1, 31>{}, shape<2>{2, 1}).all();
  layer_check(nn::linear<dynamic_extent, 3>{.in = {2}}, shape<2>{33, 2}).all();
}

TEST_CASE_TEMPLATE("linear agrees with the oracle at odd sizes", T, MILKIT_FLOATS) {
  for (const auto& [n, d, m] : {std::tuple<std::int64_t, std::int64_t, std::int64_t>{1, 1, 1},
                                {2, 31, 33},
                                {33, 2, 31},
                                {31, 32, 255},
                                {257, 33, 2},
                                {1000, 31, 5},
                                {65537, 2, 1}}) {
    const std::int64_t count = n;  // clang captures no binding
    CAPTURE(count);
    const auto x = normals<T>(shape<2>{n, d}, 1), weight = normals<T>(shape<2>{m, d}, 2),
               dy = normals<T>(shape<2>{n, m}, 3);
    const auto bias = normals<T>(shape<1>{m}, 4);
    const auto got = run(x, weight, bias, dy);
    const auto rows = static_cast<std::size_t>(n), in = static_cast<std::size_t>(d), out = static_cast<std::size_t>(m);
    std::vector<double> repeated, sums(out, 0.0);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < out; ++j) {
        repeated.push_back(static_cast<double>(bias.data()[j]));
        sums[j] += static_cast<double>(dy.data()[i * out + j]);
      }
    const double allowed = tolerance_of<T>(1e-13, 2e-6);
    using reference::matmul;
    CHECK(relative_error(got.y, matmul(elements(x), elements(weight), repeated, rows, out, in, false, true, 1)) <=
          allowed);
    CHECK(relative_error(got.dx, matmul(elements(dy), elements(weight), elements(x), rows, in, out, false, false, 0)) <=
          allowed);
    CHECK(relative_error(got.dweight, matmul(elements(dy), elements(x), elements(weight), out, in, rows, true, false,
                                             0)) <= allowed);
    CHECK(relative_error(got.dbias, sums) <= allowed);
  }
}

TEST_CASE("linear adds float column sums without losing small terms") {
  backend_type backend = make_backend(1);
  tensor<float, 2> x(shape<2>{100001, 1});
  std::fill_n(x.data(), x.size(), 1.0f);
  x.data()[0] = 1e8f;  // in float alone nothing could be added to it
  const auto values = put(x);
  const auto sum = [&](std::int64_t first) {
    resident<float, 1> sums(shape<1>{1});
    ops::add_column_sums(backend, values.view().rows(first, 100001 - first), sums.view());
    return static_cast<double>(fetch(sums).data()[0]);
  };
  CHECK(sum(1) == 100000);
  CHECK(close(sum(0), 100100000.0, {0, 1e-5}));
}

TEST_CASE_TEMPLATE("linear agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const std::string name : {"core_linear", "core_linear_one", "core_linear_no_bias"}) {
    CAPTURE(name);
    const golden_case golden(name);
    const bool biased = golden.has("bias");
    const auto got = run(golden.get<T, 2>("x"), golden.get<T, 2>("weight"),
                         biased ? golden.get<T, 1>("bias") : tensor<T, 1>(), golden.get<T, 2>("grad_output"));
    CHECK(golden.error("output", got.y) <= golden_tolerance<T>);
    CHECK(golden.error("grad.x", got.dx) <= golden_tolerance<T>);
    CHECK(golden.error("grad.weight", got.dweight) <= golden_tolerance<T>);
    if (biased) CHECK(golden.error("grad.bias", got.dbias) <= golden_tolerance<T>);
  }
}

}  // namespace milkit::test::linear_cases

MILKIT_UNOPTIMISED_END
