#include <doctest/doctest.h>

#include <milkit/nn/layer_norm.hpp>
#include <milkit/ops/layer_norm_cpu.hpp>

#include <support/golden.hpp>
#include <support/layer_check.hpp>

using namespace milkit;
using test::golden_tolerance, test::relative_error;

namespace {

/// One row, from the formula.
std::vector<double> normalised(const std::vector<double>& x, double eps) {
  long double mean = 0, variance = 0;
  for (const double each : x) mean += each;
  mean /= static_cast<long double>(x.size());
  for (const double each : x) variance += (each - mean) * (each - mean);
  variance /= static_cast<long double>(x.size());
  std::vector<double> y;
  for (const double each : x) y.push_back(static_cast<double>((each - mean) / std::sqrt(variance + eps)));
  return y;
}

template <class T>
std::vector<double> plain_norm(const std::vector<T>& x, double eps) {
  cpu backend{.threads = 1};
  const auto d = static_cast<std::int64_t>(x.size());
  std::vector<T> ones(x.size(), T(1)), zeros(x.size(), T(0)), y(x.size());
  tensor<double, 2> moments(shape<2>{1, 2});
  const auto vector = [d](const std::vector<T>& v) { return vector_view<const T>(v.data(), {d}); };
  ops::layer_norm(backend, matrix_view<const T>(x.data(), {1, d}), vector(ones), vector(zeros), eps,
                  matrix_view<T>(y.data(), {1, d}), moments.view());
  return test::elements(y);
}

}  // namespace

TEST_CASE("layer_norm keeps the contract of a layer") {
  test::layer_check(nn::layer_norm<7>{}, shape<2>{9, 7}).all();
  test::layer_check(nn::layer_norm<2>{.eps = 0.1}, shape<2>{3, 2}).all();
  test::layer_check(nn::layer_norm<dynamic_extent>{.features = {33}}, shape<2>{31, 33}).all();
}

TEST_CASE_TEMPLATE("layer_norm agrees with the oracle at odd sizes, far from zero too", T, float, double) {
  for (const std::int64_t d : {1, 2, 31, 33, 257, 1000}) {
    auto x = test::elements(test::normals<T>(shape<1>{d}, 1, 3));
    CHECK(relative_error(plain_norm(std::vector<T>(x.begin(), x.end()), 1e-5), normalised(x, 1e-5)) <=
          test::tolerance_of<T>(1e-13, 1e-6));
    for (double& each : x) each = static_cast<double>(static_cast<T>(each + 1000));
    CHECK(relative_error(plain_norm(std::vector<T>(x.begin(), x.end()), 1e-5), normalised(x, 1e-5)) <=
          test::tolerance_of<T>(1e-9, 1e-6));
  }
}

TEST_CASE("layer_norm of constant rows, NaN and infinity") {
  CHECK(plain_norm<float>({3, 3, 3}, 1e-5) == std::vector<double>{0, 0, 0});
  for (const double each : plain_norm<double>({3, 3, 3}, 0)) CHECK(std::isnan(each));
  for (const double odd : {std::nan(""), HUGE_VAL})
    for (const double each : plain_norm<double>({1, odd, 2}, 1e-5)) CHECK(std::isnan(each));
}

TEST_CASE("layer_norm refuses other widths and a negative eps") {
  CHECK_THROWS_WITH_AS(nn::layer_norm<4>{}.output_shape({2, 5}),
                       "milkit::nn::layer_norm: features of the input is 5, expected 4", shape_error);
  CHECK_THROWS_WITH_AS(plain_norm<float>({1, 2}, -1e-5), "milkit::ops::layer_norm: eps is -1e-05, expected 0 or more",
                       value_error);
}

TEST_CASE("layer_norm starts as weight 1 and bias 0") {
  const auto weights = initial_parameters<float>(nn::layer_norm<3>{}, {.seed = 1});
  CHECK(test::elements(weights["weight"]) == std::vector<double>{1, 1, 1});
  CHECK(test::elements(weights["bias"]) == std::vector<double>{0, 0, 0});
}

TEST_CASE_TEMPLATE("layer_norm agrees with the golden tensors", T, float, double) {
  cpu backend{.threads = 2};
  for (const char* name : {"core_layer_norm", "core_layer_norm_one", "core_layer_norm_constant"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const nn::layer_norm<16> layer{.eps = golden.option<double>("eps")};
    parameters<nn::layer_norm<16>, T> weights(layer);
    golden.file().read_into("weight", weights["weight"], data::conversion::nearest);
    golden.file().read_into("bias", weights["bias"], data::conversion::nearest);
    tensor<T, 1> flat(weights.flat().shape());
    std::copy_n(weights.flat().data(), flat.size(), flat.data());
    const auto x = golden.get<T, 2>("x"), dy = golden.get<T, 2>("grad_output");
    const auto got = test::run_layer<T>(backend, layer, flat, x.view(), dy.view(), pass{});
    CHECK(golden.error("output", got.output) <= golden_tolerance<T>);
    CHECK(golden.error("grad.x", got.dinput) <= golden_tolerance<T>);
    CHECK(golden.error("grad.weight", got.gradient.view().rows(0, 16)) <= golden_tolerance<T>);
    CHECK(golden.error("grad.bias", got.gradient.view().rows(16, 16)) <= golden_tolerance<T>);
  }
}
