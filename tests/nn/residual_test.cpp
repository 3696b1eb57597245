#include <doctest/doctest.h>

#include <milkit/nn/activation.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/identity.hpp>
#include <milkit/nn/layer_norm.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/residual.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/activation_cpu.hpp>
#include <milkit/ops/dropout_cpu.hpp>
#include <milkit/ops/fill_cpu.hpp>
#include <milkit/ops/layer_norm_cpu.hpp>
#include <milkit/ops/linear_cpu.hpp>

#include <support/layer_check.hpp>

using namespace milkit;

TEST_CASE("residual keeps the contract of a layer") {
  test::layer_check(nn::residual(nn::linear<5, 5>{}), shape<2>{9, 5}).all();
  test::layer_check(nn::residual(nn::tanh{}), shape<2>{31, 3}).all();  // keeps its output
  test::layer_check(nn::residual(nn::sigmoid{}), shape<4>{3, 2, 3, 5}).all();
  test::layer_check(nn::residual(nn::sequential(nn::layer_norm<7>{}, nn::linear<7, 3>{}, nn::gelu{}, nn::dropout{0.25},
                                                nn::linear<3, 7>{})),
                    shape<2>{17, 7})
      .all();
  test::layer_check(
      nn::sequential(nn::linear<4, 6>{}, nn::residual(nn::sequential(nn::linear<6, 6>{}, nn::tanh{})), nn::relu{}),
      shape<2>{9, 4})
      .all();
}

TEST_CASE("residual adds its input to what the layer gives") {
  cpu backend{.threads = 1};
  const auto x = test::normals<double>(shape<2>{4, 3}, 1);
  const auto got =
      test::run_layer<double>(backend, nn::residual(nn::identity{}), tensor<double, 1>(), x.view(), x.view(), pass{});
  for (std::int64_t i = 0; i < x.size(); ++i) {
    CHECK(got.output.data()[i] == 2 * x.data()[i]);
    CHECK(got.dinput.data()[i] == 2 * x.data()[i]);
  }
}

TEST_CASE("residual refuses a layer that changes the shape, and names its parameters") {
  const nn::residual wrong(nn::linear<dynamic_extent, dynamic_extent>{.in = {3}, .out = {4}});
  CHECK_THROWS_WITH_AS(wrong.output_shape(shape<2>{5, 3}),
                       "milkit::nn::residual: the layer makes [5, 4] of [5, 3], expected the same shape", shape_error);
  const auto entries = parameter_entries(nn::residual(nn::sequential(nn::relu{}, nn::linear<2, 2>{})));
  CHECK(entries.size() == 2);
  CHECK(entries[0].name == "0.1.weight");
}
