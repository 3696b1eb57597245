#pragma once

#include <milkit/nn/layer_norm.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::layer_norm_cases {

/// One row, from the formula.
inline std::vector<double> normalised(const std::vector<double>& x, double eps) {
  long double mean = 0, variance = 0;
  for (const double each : x) mean += each;
  mean /= static_cast<long double>(x.size());
  for (const double each : x) variance += (each - mean) * (each - mean);
  variance /= static_cast<long double>(x.size());
  std::vector<double> y;
  for (const double each : x) y.push_back(static_cast<double>((each - mean) / std::sqrt(variance + eps)));
  return y;
}

/// Of one row, with weight 1 and bias 0.
template <class T>
std::vector<double> plain_norm(const std::vector<T>& x, double eps) {
  backend_type backend = make_backend(1);
  const auto d = static_cast<std::int64_t>(x.size());
  const std::vector<T> ones(x.size(), T(1));
  const auto row = put(matrix_view<const T>(x.data(), {1, d}));
  const auto weight = put(vector_view<const T>(ones.data(), {d}));
  const resident<T, 1> bias(shape<1>{d});
  resident<T, 2> y(row.shape());
  resident<double, 2> moments(shape<2>{1, 2});
  ops::layer_norm(backend, row.view(), weight.view(), bias.view(), eps, y.view(), moments.view());
  return elements(fetch(y));
}

TEST_CASE("layer_norm keeps the contract of a layer") {
  layer_check(nn::layer_norm<7>{}, shape<2>{9, 7}).all();
  layer_check(nn::layer_norm<2>{.eps = 0.1}, shape<2>{3, 2}).all();
  layer_check(nn::layer_norm<dynamic_extent>{.features = {33}}, shape<2>{4, 33}).all();
  layer_check(nn::layer_norm<dynamic_extent>{.features = {33}}, shape<2>{31, 33}).floats();
}

TEST_CASE_TEMPLATE("layer_norm agrees with the oracle at odd sizes, far from zero too", T, MILKIT_FLOATS) {
  for (const std::int64_t d : {1, 2, 31, 32, 33, 255, 257, 1000}) {
    auto x = elements(normals<T>(shape<1>{d}, 1, 3));
    CHECK(relative_error(plain_norm(std::vector<T>(x.begin(), x.end()), 1e-5), normalised(x, 1e-5)) <=
          tolerance_of<T>(1e-13, 1e-6));
    for (double& each : x) each = static_cast<double>(static_cast<T>(each + 1000));
    CHECK(relative_error(plain_norm(std::vector<T>(x.begin(), x.end()), 1e-5), normalised(x, 1e-5)) <=
          tolerance_of<T>(1e-9, 1e-6));
  }
}

TEST_CASE("layer_norm of constant rows, NaN and infinity") {
  CHECK(plain_norm<float>({3, 3, 3}, 1e-5) == std::vector<double>{0, 0, 0});
  for (const double each : plain_norm<double>({3, 3, 3}, 0)) CHECK(std::isnan(each));
  for (const double odd : {std::nan(""), HUGE_VAL})
    for (const double each : plain_norm<double>({1, odd, 2}, 1e-5)) CHECK(std::isnan(each));
}

TEST_CASE_TEMPLATE("layer_norm agrees with the golden tensors", T, MILKIT_FLOATS) {
  backend_type backend = make_backend();
  for (const char* name : {"core_layer_norm", "core_layer_norm_one", "core_layer_norm_constant"}) {
    CAPTURE(name);
    const golden_case golden(name);
    const nn::layer_norm<16> layer{.eps = golden.option<double>("eps")};
    parameters<nn::layer_norm<16>, T> weights(layer);
    golden.file().read_into("weight", weights["weight"], data::conversion::nearest);
    golden.file().read_into("bias", weights["bias"], data::conversion::nearest);
    tensor<T, 1> flat(weights.flat().shape());
    std::copy_n(weights.flat().data(), flat.size(), flat.data());
    const auto x = golden.get<T, 2>("x"), dy = golden.get<T, 2>("grad_output");
    const auto got = run_layer<T>(backend, layer, flat, x.view(), dy.view(), pass{});
    CHECK(golden.error("output", got.output) <= golden_tolerance<T>);
    CHECK(golden.error("grad.x", got.dinput) <= golden_tolerance<T>);
    CHECK(golden.error("grad.weight", got.gradient.view().rows(0, 16)) <= golden_tolerance<T>);
    CHECK(golden.error("grad.bias", got.gradient.view().rows(16, 16)) <= golden_tolerance<T>);
  }
}

}  // namespace milkit::test::layer_norm_cases

MILKIT_UNOPTIMISED_END
