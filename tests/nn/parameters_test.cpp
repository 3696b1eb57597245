#include <doctest/doctest.h>

#include <milkit/nn/activation.hpp>
#include <milkit/nn/layer_norm.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/nn/sequential.hpp>

#include <support/gradient_check.hpp>

using namespace milkit;

namespace {

using network = nn::sequential<nn::linear<5, 3>, nn::relu, nn::sequential<nn::layer_norm<3>, nn::linear<3, 2, false>>>;

struct moments {
  double mean = 0, deviation = 0, smallest = HUGE_VAL, largest = -HUGE_VAL;
};
moments moments_of(const std::vector<double>& values) {
  moments m;
  for (const double each : values) {
    m.mean += each / static_cast<double>(values.size());
    m.smallest = (std::min)(m.smallest, each);
    m.largest = (std::max)(m.largest, each);
  }
  for (const double each : values)
    m.deviation += (each - m.mean) * (each - m.mean) / static_cast<double>(values.size());
  m.deviation = std::sqrt(m.deviation);
  return m;
}

template <class T = double>
auto initial(init scheme, std::uint64_t seed = 1) {
  return initial_parameters<T>(nn::linear<300, 200>{.scheme = scheme}, {.seed = seed});
}

/// Three numbers of its own, and two children behind them.
struct with_children {
  nn::linear<2, 3> first;
  nn::linear<3, 1> second;
  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    v.parameter({"shift", {3}, role::bias, 3, 3});
    v.child("first", first);
    v.child("second", second);
  }
};

}  // namespace

TEST_CASE("parameters: a layer's own before its children's -> the children are where their names say") {
  auto weights = initial_parameters<float>(with_children{}, {.seed = 1});
  const float* flat = weights.flat().data();
  parameter_cursor cursor(weights.flat());
  CHECK(cursor.vector(3).data() == flat);
  CHECK(cursor.child(nn::linear<2, 3>{}).data() == weights["first.weight"].data());
  CHECK(cursor.child(nn::linear<3, 1>{}).data() == weights["second.weight"].data());
  CHECK(weights["first.weight"].data() == flat + 16);
  CHECK(weights["second.weight"].data() == flat + 32);
}

TEST_CASE("parameters are named as in PyTorch and lie aligned in one buffer") {
  const parameters<network, float> weights;
  const auto& entries = weights.entries();
  REQUIRE(entries.size() == 5);
  const char* names[] = {"0.weight", "0.bias", "2.0.weight", "2.0.bias", "2.1.weight"};
  const std::int64_t offsets[] = {0, 15, 32, 35, 48}, sizes[] = {15, 3, 3, 3, 6};
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(entries[i].name == names[i]);
    CHECK(entries[i].offset == offsets[i]);
    CHECK(entries[i].size() == sizes[i]);
    CHECK(weights[names[i]].data() == weights.flat().data() + offsets[i]);
    CHECK(weights[names[i]].extent(0) == sizes[i]);
  }
  CHECK(entries[0].shape.rank == 2);
  CHECK(entries[0].shape.extent[0] == 3);
  CHECK(entries[0].shape.extent[1] == 5);
  CHECK(weights.count() == 30);
  CHECK(weights.flat().extent(0) == 64);
  CHECK(weights.bytes() == 256);
  CHECK(reinterpret_cast<std::uintptr_t>(weights.flat().data()) % alignment == 0);
  static_assert(parameter_count(network{}) == 30 && parameter_stretch(network{}) == 64);
  CHECK_THROWS_WITH_AS(weights["0.wieght"],
                       "milkit::parameters: no parameter is named \"0.wieght\"; there are: 0.weight 0.bias 2.0.weight "
                       "2.0.bias 2.1.weight",
                       value_error);
}

TEST_CASE("parameters start as zeros, clone as a copy, and make zeros of the same layout") {
  parameters<network, double> weights;
  for (const double each : test::elements(weights.flat())) CHECK(each == 0);
  weights["0.bias"](1) = 7;
  auto copy = weights.clone();
  const auto zeros = weights.zeros();
  weights["0.bias"](1) = 8;
  CHECK(copy["0.bias"](1) == 7);
  CHECK(zeros["0.bias"](1) == 0);
  CHECK(zeros.count() == 30);
}

TEST_CASE("parameters of run-time dimensions") {
  const nn::linear<dynamic_extent, 2> layer{.in = {7}};
  CHECK(parameters<nn::linear<dynamic_extent, 2>, float>(layer).count() == 16);
  CHECK_THROWS_AS((parameters<nn::linear<dynamic_extent, 2>, float>()), value_error);
}

TEST_CASE("initialisers have the bounds and the moments of their names") {
  const auto check_uniform = [](init scheme, double bound) {
    const auto m = moments_of(test::elements(initial(scheme)["weight"]));  // 60000 numbers
    CHECK(m.smallest >= -bound);
    CHECK(m.largest <= bound);
    CHECK(m.largest - m.smallest > 1.999 * bound);
    CHECK(std::abs(m.mean) < 4 * bound / std::sqrt(3 * 60000.0));
    CHECK(test::close(m.deviation, bound / std::sqrt(3.0), {0, 0.01}));
  };
  const auto check_normal = [](init scheme, double deviation) {
    const auto m = moments_of(test::elements(initial(scheme)["weight"]));
    CHECK(std::abs(m.mean) < 4 * deviation / std::sqrt(60000.0));
    CHECK(test::close(m.deviation, deviation, {0, 0.015}));
    CHECK(m.largest > 3.5 * deviation);
  };
  check_uniform(init::torch, 1 / std::sqrt(300.0));
  check_uniform(init::xavier_uniform, std::sqrt(6.0 / 500));
  check_uniform(init::kaiming_uniform, std::sqrt(6.0 / 300));
  check_normal(init::xavier_normal, std::sqrt(2.0 / 500));
  check_normal(init::kaiming_normal, std::sqrt(2.0 / 300));
  for (const double each : test::elements(initial(init::zeros).flat())) CHECK(each == 0);

  const auto bias = moments_of(test::elements(initial(init::torch)["bias"]));
  CHECK(bias.largest <= 1 / std::sqrt(300.0));
  CHECK(bias.deviation > 0.4 / std::sqrt(300.0));
  for (const init scheme : {init::xavier_uniform, init::xavier_normal, init::kaiming_uniform, init::kaiming_normal})
    for (const double each : test::elements(initial(scheme)["bias"])) CHECK(each == 0);
}

TEST_CASE("initial parameters are a function of the seed, in float the rounded ones of double") {
  const auto one = initial(init::torch, 1), again = initial(init::torch, 1), other = initial(init::torch, 2);
  CHECK(test::same_bits(one.flat(), again.flat()));
  CHECK_FALSE(test::same_bits(one.flat(), other.flat()));
  const auto single = initial<float>(init::torch, 1);
  for (std::int64_t i = 0; i < one.flat().extent(0); ++i) CHECK(single.flat()(i) == static_cast<float>(one.flat()(i)));
  const auto whole = initial_parameters<double>(nn::sequential(nn::linear<4, 4>{}, nn::linear<4, 4>{}), {.seed = 1});
  CHECK_FALSE(test::same_bits(whole["0.weight"], whole["1.weight"]));
  cpu backend{.threads = 1};
  const auto typed = initial_parameters<network, double>(backend, {.seed = 3});
  CHECK(test::same_bits(typed.flat(), initial_parameters<double>(network{}, {.seed = 3}).flat()));
  for (const double gap : test::elements(typed.flat().rows(18, 14))) CHECK(gap == 0);
}
