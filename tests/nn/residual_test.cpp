#include <milkit/ops/images/batch_norm2d_cpu.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/layer_norm_cpu.hpp>

#include "residual_cases.hpp"

using namespace milkit;

TEST_CASE("residual refuses a layer that changes the shape, and names its parameters") {
  const nn::residual wrong(nn::linear<dynamic_extent, dynamic_extent>{.in = {3}, .out = {4}});
  CHECK_THROWS_WITH_AS(wrong.output_shape(shape<2>{5, 3}),
                       "milkit::nn::residual: the layer makes [5, 4] of [5, 3], expected the same shape", shape_error);
  const auto entries = parameter_entries(nn::residual(nn::sequential(nn::relu{}, nn::linear<2, 2>{})));
  CHECK(entries.size() == 2);
  CHECK(entries[0].name == "0.1.weight");
}

TEST_CASE("residual refuses a shortcut of another shape, and names its parameters too") {
  const nn::residual wrong(nn::conv2d_same<3, 4, 3>({2, 2}), nn::conv2d_same<3, 4, 1, false>{});
  CHECK_THROWS_WITH_AS(
      wrong.output_shape(shape<4>{2, 3, 6, 5}),
      "milkit::nn::residual: the layer makes [2, 4, 3, 3] of [2, 3, 6, 5], but the shortcut [2, 4, 6, 5]", shape_error);
  const auto entries = parameter_entries(nn::residual(nn::linear<3, 2>{}, nn::linear<3, 2>{}));
  REQUIRE(entries.size() == 4);
  CHECK(entries[2].name == "1.weight");
}
