#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include <milkit/nn/activation.hpp>
#include <milkit/nn/conv2d.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/max_pool2d.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/activation_cpu.hpp>
#include <milkit/ops/conv2d_cpu.hpp>
#include <milkit/ops/fill_cpu.hpp>
#include <milkit/ops/linear_cpu.hpp>
#include <milkit/ops/pool2d_cpu.hpp>

#include <support/golden.hpp>
#include <support/images.hpp>

using namespace milkit;

namespace {

using conv_stack = nn::sequential<nn::conv2d<3, 4, 4>, nn::relu, nn::max_pool2d, nn::conv2d<4, 5, 3>, nn::relu,
                                  nn::max_pool2d, nn::flatten, nn::linear<dynamic_extent, 8>, nn::relu>;

conv_stack stack_for(std::int64_t features) {
  return conv_stack({}, {}, {}, {}, {}, {}, {}, nn::linear<dynamic_extent, 8>{.in = {features}}, {});
}

template <class T>
struct step {
  tensor<T, 2> y;
  tensor<T, 4> dx;
  parameters<conv_stack, T> gradient;
};

template <class T>
step<T> train(cpu& backend, const conv_stack& network, const parameters<conv_stack, T>& weights, const tensor<T, 4>& x,
              const tensor<T, 2>& dy) {
  step<T> r{tensor<T, 2>(network.output_shape(x.shape())), tensor<T, 4>(x.shape()), weights.zeros()};
  const auto scope = backend.workspace.scope();
  using input = view<const T, 4>;
  typename conv_stack::template saved<input> kept;
  network.forward(backend, weights.flat(), input(x.view()), r.y.view(), kept, pass{.training = true});
  tensor<T, 2> upstream = dy.clone();
  network.backward(backend, weights.flat(), kept, upstream.view(), r.dx.view(), r.gradient.flat(),
                   pass{.training = true});
  return r;
}

const std::pair<const char*, const char*> names[] = {{"0.weight", "conv1.weight"},  {"0.bias", "conv1.bias"},
                                                     {"3.weight", "conv2.weight"},  {"3.bias", "conv2.bias"},
                                                     {"7.weight", "linear.weight"}, {"7.bias", "linear.bias"}};

}  // namespace

TEST_CASE_TEMPLATE("the convolution stack agrees with the golden case", T, float, double) {
  const test::golden_case golden("core_conv_stack");
  cpu backend{.threads = 2};
  const auto x = golden.get<T, 4>("x");
  const auto dy = golden.get<T, 2>("grad_output");
  const conv_stack network = stack_for(golden.file().info("linear.weight").shape.at(1));
  parameters<conv_stack, T> weights(network);
  for (const auto& [ours, theirs] : names) {
    const auto values = golden.file().template read<T>(theirs, data::conversion::nearest).values;
    REQUIRE(static_cast<std::int64_t>(values.size()) == weights[ours].extent(0));
    std::copy(values.begin(), values.end(), weights[ours].data());
  }
  const auto got = train(backend, network, weights, x, dy);
  CHECK(golden.error("output", got.y) <= test::golden_tolerance<T>);
  CHECK(golden.error("grad.x", got.dx) <= test::golden_tolerance<T>);
  for (const auto& [ours, theirs] : names)
    CHECK(golden.error(std::string("grad.") + theirs, got.gradient[ours]) <= test::golden_tolerance<T>);
}

TEST_CASE_TEMPLATE("the convolution stack gives the same bits at any thread count", T, float, double) {
  const conv_stack network = stack_for(20);
  const auto weights = initial_parameters<T>(network, {.seed = 5});
  const auto x = test::normal_tensor<T>(shape<4>{37, 3, 15, 15}, 1);
  const auto dy = test::normal_tensor<T>(shape<2>{37, 8}, 2);
  cpu one{.threads = 1}, three{.threads = 3};
  const auto a = train(one, network, weights, x, dy), b = train(three, network, weights, x, dy);
  CHECK(test::elements(a.y) == test::elements(b.y));
  CHECK(test::elements(a.dx) == test::elements(b.dx));
  CHECK(test::elements(a.gradient.flat()) == test::elements(b.gradient.flat()));
}

TEST_CASE("a bag of no images goes through the convolution stack and leaves no gradient") {
  cpu backend{.threads = 2};
  const conv_stack network = stack_for(20);
  const auto weights = initial_parameters<float>(network, {.seed = 5});
  const auto got =
      train(backend, network, weights, tensor<float, 4>(shape<4>{0, 3, 15, 15}), tensor<float, 2>(shape<2>{0, 8}));
  CHECK(got.y.shape() == shape<2>{0, 8});
  for (const double each : test::elements(got.gradient.flat())) CHECK(each == 0);
}

TEST_CASE("conv2d names its parameters, checks its input, and takes widths at run time") {
  const nn::conv2d<dynamic_extent, 36, 4, 3> layer{.in = {3}, .stride = {2, 1}, .padding = {1, 0}};
  const parameters<nn::conv2d<dynamic_extent, 36, 4, 3>, float> weights(layer);
  REQUIRE(weights.entries().size() == 2);
  CHECK(weights.entries()[0].name == "weight");
  CHECK(weights.entries()[0].shape.size() == 36 * 3 * 4 * 3);
  CHECK(weights.entries()[0].fan_in == 3 * 4 * 3);
  CHECK(weights.entries()[0].fan_out == 36 * 4 * 3);
  CHECK(weights.entries()[1].name == "bias");
  CHECK(weights.entries()[1].fan_in == 3 * 4 * 3);
  CHECK(layer.output_shape({5, 3, 27, 28}) == shape<4>{5, 36, 13, 26});
  CHECK_THROWS_WITH_AS(layer.output_shape({5, 4, 27, 27}), "milkit::nn::conv2d: channels of the input is 4, expected 3",
                       shape_error);
  CHECK_THROWS_AS(layer.output_shape({5, 3, 1, 27}), shape_error);
  CHECK(parameter_count(nn::conv2d<3, 36, 4, 4, false>{}) == 36 * 3 * 4 * 4);
}

TEST_CASE("conv2d without its input's gradient gives the same weight gradient") {
  cpu backend{.threads = 2};
  using layer = nn::conv2d<2, 3, 3, 3, false>;
  using input = view<const double, 4>;
  const auto weights = initial_parameters<double>(layer{}, {.seed = 1});
  const auto x = test::normal_tensor<double>(shape<4>{3, 2, 6, 6}, 1);
  const auto dy = test::normal_tensor<double>(shape<4>{3, 3, 4, 4}, 2);
  tensor<double, 4> y(dy.shape()), dx(x.shape());
  auto with = weights.zeros(), without = weights.zeros();
  layer::saved<input> kept;
  layer{}.forward(backend, weights.flat(), input(x.view()), y.view(), kept, {});
  layer{}.backward(backend, weights.flat(), kept, dy.view(), dx.view(), with.flat(), {});
  layer{}.backward(backend, weights.flat(), kept, dy.view(), view<double, 4>(), without.flat(), {});
  CHECK(test::elements(with.flat()) == test::elements(without.flat()));
  const auto want = reference::conv2d_backward(
      test::plain(x), test::plain(view<const double, 4>(weights.flat().data(), {3, 2, 3, 3})), test::plain(dy), {});
  CHECK(test::relative_error(with["weight"], want.weight.values) <= 1e-12);
}
