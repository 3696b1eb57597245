#pragma once

#include <milkit/nn/activation.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::activation_cases {

/// f and f' in long double.
inline long double sigmoid_of(long double x) { return 1 / (1 + std::exp(-x)); }
struct curve {
  long double (*value)(long double);
  long double (*slope)(long double);
};
inline long double relu_of(long double x) { return x > 0 ? x : 0.0L; }
inline long double relu_slope(long double x) { return x > 0 ? 1.0L : 0.0L; }
inline long double tanh_of(long double x) { return std::tanh(x); }
inline long double tanh_slope(long double x) { return 1 - std::tanh(x) * std::tanh(x); }
inline long double sigmoid_slope(long double x) { return sigmoid_of(x) * (1 - sigmoid_of(x)); }
inline long double gelu_of(long double x) { return x * std::erfc(-x / std::sqrt(2.0L)) / 2; }
inline long double gelu_slope(long double x) {
  return std::erfc(-x / std::sqrt(2.0L)) / 2 + x * std::exp(-x * x / 2) / std::sqrt(2 * 3.14159265358979323846L);
}
inline curve curve_of(const nn::relu&) { return {relu_of, relu_slope}; }
inline curve curve_of(const nn::tanh&) { return {tanh_of, tanh_slope}; }
inline curve curve_of(const nn::sigmoid&) { return {sigmoid_of, sigmoid_slope}; }
inline curve curve_of(const nn::gelu&) { return {gelu_of, gelu_slope}; }
inline long double leaky_of(long double x) { return x > 0 ? x : 0.01L * x; }
inline long double leaky_slope(long double x) { return x > 0 ? 1.0L : 0.01L; }
inline curve curve_of(const nn::leaky_relu&) { return {leaky_of, leaky_slope}; }

template <class T, class Layer>
auto run(const Layer& layer, const tensor<T, 2>& x, const tensor<T, 2>& dy) {
  backend_type backend = make_backend();
  return run_layer<T>(backend, layer, tensor<T, 1>(), x.view(), dy.view(), pass{});
}

TEST_CASE_TEMPLATE("activations keep the contract of a layer, on rows and images", Layer, nn::relu, nn::tanh,
                   nn::sigmoid, nn::gelu, nn::leaky_relu) {
  layer_check(Layer{}, shape<2>{33, 7}).all();
  layer_check(Layer{}, shape<2>{1, 31}).all();
  layer_check(Layer{}, shape<4>{3, 2, 5, 3}).all();
}

TEST_CASE_TEMPLATE("activations agree with their formulas", Layer, nn::relu, nn::tanh, nn::sigmoid, nn::gelu,
                   nn::leaky_relu) {
  const auto check = [](auto zero, std::int64_t rows) {
    using T = decltype(zero);
    CAPTURE(rows);
    tensor<T, 2> x = normals<T>(shape<2>{rows, 3}, 1, 3), dy = normals<T>(shape<2>{rows, 3}, 2);
    x.data()[0] = 0;
    const auto got = run(Layer{}, x, dy);
    std::vector<double> y, dx;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const auto at = static_cast<long double>(x.data()[i]);
      y.push_back(static_cast<double>(curve_of(Layer{}).value(at)));
      dx.push_back(static_cast<double>(curve_of(Layer{}).slope(at) * static_cast<long double>(dy.data()[i])));
    }
    CHECK(relative_error(got.output, y) <= tolerance_of<T>(1e-14, 1e-6));
    CHECK(relative_error(got.dinput, dx) <= tolerance_of<T>(1e-14, 1e-6));
  };
  for (const std::int64_t rows : row_counts) {
    check(0.0, rows);
    check(0.0f, rows);
  }
}

TEST_CASE_TEMPLATE("activations of extreme arguments and NaN", T, MILKIT_FLOATS) {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  tensor<T, 2> x(shape<2>{1, 17}), dy(shape<2>{1, 17});  // more than a vector register, and a rest
  const auto outcome = [&](const auto& layer, T argument) {
    std::fill_n(x.data(), x.size(), argument);
    std::fill_n(dy.data(), dy.size(), T(1));
    const auto got = run(layer, x, dy);
    for (std::int64_t i = 1; i < x.size(); ++i)
      CHECK(same_bits(got.output.view().columns(i, 1), got.output.view().columns(0, 1)));
    return std::pair(got.output.data()[0], got.dinput.data()[0]);
  };
  using both = std::pair<T, T>;
  for (const T large : {T(800), infinity}) {
    CHECK(outcome(nn::tanh{}, large) == both(1, 0));
    CHECK(outcome(nn::tanh{}, -large) == both(-1, 0));
    CHECK(outcome(nn::sigmoid{}, large) == both(1, 0));
    CHECK(close(static_cast<double>(outcome(nn::sigmoid{}, -large).first), 0, {1e-37}));
    CHECK(outcome(nn::relu{}, large) == both(large, 1));
    CHECK(outcome(nn::relu{}, -large) == both(0, 0));
  }
  CHECK(outcome(nn::relu{}, 0) == both(0, 0));
  CHECK(outcome(nn::gelu{}, 800) == both(800, 1));
  CHECK(outcome(nn::gelu{}, -800) == both(0, 0));
  for (const auto& got :
       {outcome(nn::relu{}, nan), outcome(nn::tanh{}, nan), outcome(nn::sigmoid{}, nan), outcome(nn::gelu{}, nan)}) {
    CHECK(std::isnan(got.first));
    CHECK(std::isnan(got.second));
  }
}

TEST_CASE_TEMPLATE("leaky_relu: a slope of its own -> that below 0, and none that is negative", T, MILKIT_FLOATS) {
  tensor<T, 2> x(shape<2>{1, 4}), dy(shape<2>{1, 4});
  for (const std::int64_t i : {0, 1, 2, 3}) x.data()[i] = static_cast<T>(i - 2), dy.data()[i] = T(8);
  const auto got = run(nn::leaky_relu{{.negative_slope = 0.25}}, x, dy);
  CHECK(elements(got.output) == std::vector<double>{-0.5, -0.25, 0, 1});
  CHECK(elements(got.dinput) == std::vector<double>{2, 2, 2, 8});
  x.data()[0] = std::numeric_limits<T>::quiet_NaN();
  CHECK(std::isnan(run(nn::leaky_relu{}, x, dy).output.data()[0]));
  CHECK(std::isnan(run(nn::leaky_relu{}, x, dy).dinput.data()[0]));
  CHECK_THROWS_WITH_AS(run(nn::leaky_relu{{.negative_slope = -1}}, x, dy),
                       "milkit::ops::activate: negative_slope is -1, expected 0 or more", value_error);
}

TEST_CASE_TEMPLATE("activations agree with the golden tensors", T, MILKIT_FLOATS) {
  const auto check = [&](const char* name, const auto& layer) {
    CAPTURE(name);
    const golden_case golden(name);
    const auto got = run(layer, golden.get<T, 2>("x"), golden.get<T, 2>("grad_output"));
    CHECK(golden.error("output", got.output) <= golden_tolerance<T>);
    CHECK(golden.error("grad.x", got.dinput) <= golden_tolerance<T>);
  };
  check("core_relu", nn::relu{});
  check("core_tanh", nn::tanh{});
  check("core_sigmoid", nn::sigmoid{});
  check("core_gelu", nn::gelu{});
}

}  // namespace milkit::test::activation_cases

MILKIT_UNOPTIMISED_END
