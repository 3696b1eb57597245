#pragma once

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

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/images.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::conv2d_cases {

using conv_stack = nn::sequential<nn::conv2d<3, 4, 4>, nn::relu, nn::max_pool2d, nn::conv2d<4, 5, 3>, nn::relu,
                                  nn::max_pool2d, nn::flatten, nn::linear<dynamic_extent, 8>, nn::relu>;

inline conv_stack stack_for(std::int64_t features) {
  return conv_stack({}, {}, {}, {}, {}, {}, {}, nn::linear<dynamic_extent, 8>{.in = {features}}, {});
}

inline const std::pair<const char*, const char*> names[] = {{"0.weight", "conv1.weight"},  {"0.bias", "conv1.bias"},
                                                            {"3.weight", "conv2.weight"},  {"3.bias", "conv2.bias"},
                                                            {"7.weight", "linear.weight"}, {"7.bias", "linear.bias"}};

template <class T>
auto train(backend_type& backend, const conv_stack& network, const tensor<T, 1>& weights, const tensor<T, 4>& x,
           const tensor<T, 2>& dy) {
  return run_layer<T>(backend, network, weights, x.view(), dy.view(), pass{.training = true});
}

TEST_CASE("conv2d keeps the contract of a layer") {
  layer_check(nn::conv2d<2, 3, 3>{.padding = {1, 1}}, shape<4>{3, 2, 5, 4}).all();
  layer_check(nn::conv2d<3, 2, 2, 1, false>{.stride = {2, 1}}, shape<4>{2, 3, 5, 4}).all();
  layer_check(nn::conv2d<dynamic_extent, 3, 1, 1>{.in = {2}}, shape<4>{2, 2, 3, 5}).all();
}

TEST_CASE_TEMPLATE("the convolution stack agrees with the golden case", T, MILKIT_FLOATS) {
  const golden_case golden("core_conv_stack");
  backend_type backend = make_backend();
  const conv_stack network = stack_for(golden.file().info("linear.weight").shape.at(1));
  parameters<conv_stack, T> weights(network), gradient(network);
  for (const auto& [ours, theirs] : names) {
    const auto values = golden.file().template read<T>(theirs, data::conversion::nearest).values;
    REQUIRE(static_cast<std::int64_t>(values.size()) == weights[ours].extent(0));
    std::copy(values.begin(), values.end(), weights[ours].data());
  }
  const auto got = train(backend, network, copied_to<host_space>(weights.flat()), golden.get<T, 4>("x"),
                         golden.get<T, 2>("grad_output"));
  CHECK(golden.error("output", got.output) <= golden_tolerance<T>);
  CHECK(golden.error("grad.x", got.dinput) <= golden_tolerance<T>);
  copy_bytes(got.gradient.view(), gradient.flat());
  for (const auto& [ours, theirs] : names)
    CHECK(golden.error(std::string("grad.") + theirs, gradient[ours]) <= golden_tolerance<T>);
}

TEST_CASE_TEMPLATE("the convolution stack gives the same bits in every way to run", T, MILKIT_FLOATS) {
  const conv_stack network = stack_for(20);
  const auto weights = copied_to<host_space>(initial_parameters<T>(network, {.seed = 5}).flat());
  const auto x = normals<T>(shape<4>{37, 3, 15, 15}, 1);
  const auto dy = normals<T>(shape<2>{37, 8}, 2);
  backend_type one = make_backend(1);
  const auto want = train(one, network, weights, x, dy);
  in_every_way([&](backend_type& backend) {
    const auto got = train(backend, network, weights, x, dy);
    CHECK(same_bits(got.output, want.output));
    CHECK(same_bits(got.dinput, want.dinput));
    CHECK(same_bits(got.gradient, want.gradient));
  });
}

TEST_CASE("a bag of no images goes through the convolution stack and leaves no gradient") {
  backend_type backend = make_backend();
  const conv_stack network = stack_for(20);
  const auto got =
      train(backend, network, copied_to<host_space>(initial_parameters<float>(network, {.seed = 5}).flat()),
            tensor<float, 4>(shape<4>{0, 3, 15, 15}), tensor<float, 2>(shape<2>{0, 8}));
  CHECK(got.output.shape() == shape<2>{0, 8});
  for (const double each : elements(got.gradient)) CHECK(each == 0);
}

TEST_CASE("conv2d: the weight's gradient agrees with the oracle") {
  backend_type backend = make_backend();
  using layer = nn::conv2d<2, 3, 3, 3, false>;
  const auto weights = copied_to<host_space>(initial_parameters<double>(layer{}, {.seed = 1}).flat());
  const auto x = normals<double>(shape<4>{3, 2, 6, 6}, 1);
  const auto dy = normals<double>(shape<4>{3, 3, 4, 4}, 2);
  const auto got = run_layer<double>(backend, layer{}, weights, x.view(), dy.view(), pass{});
  const auto want =
      reference::conv2d_backward(plain(x), plain(view<const double, 4>(weights.data(), {3, 2, 3, 3})), plain(dy), {});
  CHECK(relative_error(got.gradient.view().rows(0, 3 * 2 * 3 * 3), want.weight.values) <= 1e-12);
}

}  // namespace milkit::test::conv2d_cases

MILKIT_UNOPTIMISED_END
