#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/pool2d_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>

#include "conv2d_cases.hpp"

using namespace milkit;

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
