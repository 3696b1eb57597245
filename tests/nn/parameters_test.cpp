#include <doctest/doctest.h>

#include <milkit/nn/activation.hpp>
#include <milkit/nn/layer_norm.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/nn/sequential.hpp>

#include <support/chance.hpp>
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

/// Three numbers of its own, two children, and one more number behind them.
struct with_children {
  nn::linear<2, 3> first;
  nn::linear<3, 1> second;
  double rate = 1;
  constexpr auto list(auto& l) const {
    return std::tuple{l.vector("start", 3, {.what = role::statistic, .scheme = init::constant(0.5)}),
                      l.child("first", first, rate), l.child("second", second, 2 * rate),
                      l.vector("scale", 1, {.what = role::scale, .rate = 0.5})};
  }
};
/// The same as a child, and a parameter that is frozen.
struct with_frozen {
  with_children below = {{}, {}, 3};
  constexpr auto list(auto& l) const {
    return std::tuple{l.child("", below, 0.25), l.matrix("fixed", 2, 2, {.scheme = init::normal(0.02), .rate = 0}),
                      l.child("teacher", below, 0)};
  }
};

}  // namespace

TEST_CASE("parameters: a layer's own before its children's -> the children are where their names say") {
  auto weights = initial_parameters<float>(with_children{}, {.seed = 1});
  float* flat = weights.flat().data();
  cpu backend{.threads = 1};
  const context at{backend, weights.flat()};
  const auto [start, first, second, scale] = at.weights_of(with_children{});
  CHECK(start.data() == flat);
  CHECK(start(2) == 0.5f);
  CHECK(first.data() == weights["first.weight"].data());
  CHECK(second.data() == weights["second.weight"].data());
  CHECK(scale.data() == weights["scale"].data());
  CHECK(weights["first.weight"].data() == flat + 16);
  CHECK(weights["second.weight"].data() == flat + 32);
  CHECK(weights["scale"].data() == flat + 48);
  CHECK(weights.flat().extent(0) == 64);
  CHECK(at.child<2>(with_children{}).weights.data() == flat + 32);
  CHECK(at.child<2>(with_children{}).gradient.absent());
}

TEST_CASE("parameters: rates of parents and children -> their product, and 0 without a gradient") {
  const auto entries = parameter_entries(with_frozen{});
  const auto rate_of = [&](const std::string& name) {
    for (const auto& entry : entries)
      if (entry.name == name) return entry.rate;
    return -1.0;
  };
  CHECK(rate_of("first.weight") == 0.75);
  CHECK(rate_of("second.bias") == 1.5);
  CHECK(rate_of("scale") == 0.125);
  CHECK(rate_of("fixed") == 0);
  CHECK(rate_of("teacher.second.bias") == 0);
  CHECK(parameter_count(with_frozen{}) == 14);

  auto weights = initial_parameters<double>(with_frozen{}, {.seed = 1});
  cpu backend{.threads = 1};
  tensor<double, 1> gradient(shape<1>{64});  // it ends where only frozen ones follow
  const context at{backend, weights.flat(), gradient.view()};
  const auto [below, fixed, teacher] = at.gradients_of(with_frozen{});
  CHECK(below.data() == gradient.data());
  CHECK(fixed.absent());
  CHECK(teacher.absent());
  CHECK(at.child<2>(with_frozen{}).weights.data() == weights["teacher.start"].data());
  const auto teachers = at.child<2>(with_frozen{}).gradients_of(with_children{});
  CHECK(std::get<0>(teachers).absent());
  CHECK(std::get<1>(teachers).absent());
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
  const auto check_moments = [](const moments& m, double deviation, double kurtosis) {
    CHECK(std::abs(m.mean) <= test::most_standard_errors() * deviation / std::sqrt(60000.0));
    CHECK(std::abs(m.deviation * m.deviation / (deviation * deviation) - 1) <=
          test::most_standard_errors() * std::sqrt((kurtosis - 1) / 60000.0));
  };
  const auto check_uniform = [&](init scheme, double bound) {
    const auto m = moments_of(test::elements(initial(scheme)["weight"]));  // 60000 numbers
    CHECK(m.smallest >= -bound);
    CHECK(m.largest <= bound);
    CHECK(m.largest - m.smallest > 1.999 * bound);
    check_moments(m, bound / std::sqrt(3.0), 1.8);
  };
  const auto check_normal = [&](init scheme, double deviation) {
    const auto m = moments_of(test::elements(initial(scheme)["weight"]));
    check_moments(m, deviation, 3);
    CHECK(m.largest > 3.3 * deviation);  // or 60000 numbers below it, each with the probability 1 - 5e-4
  };
  check_uniform(init::torch, 1 / std::sqrt(300.0));
  check_uniform(init::xavier_uniform, std::sqrt(6.0 / 500));
  check_uniform(init::kaiming_uniform, std::sqrt(6.0 / 300));
  check_normal(init::xavier_normal, std::sqrt(2.0 / 500));
  check_normal(init::kaiming_normal, std::sqrt(2.0 / 300));
  check_normal(init::normal(0.02), 0.02);
  for (const double each : test::elements(initial(init::zeros).flat())) CHECK(each == 0);
  for (const double each : test::elements(initial(init::constant(0.5))["bias"])) CHECK(each == 0.5);

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
