#include <milkit/ops/rows/layer_norm_cpu.hpp>

#include "layer_norm_cases.hpp"

using namespace milkit;

TEST_CASE("layer_norm refuses other widths and a negative eps") {
  CHECK_THROWS_WITH_AS(nn::layer_norm<4>{}.output_shape({2, 5}),
                       "milkit::nn::layer_norm: features of the input is 5, expected 4", shape_error);
  CHECK_THROWS_WITH_AS(test::layer_norm_cases::plain_norm<float>({1, 2}, -1e-5),
                       "milkit::ops::layer_norm: eps is -1e-05, expected 0 or more", value_error);
}

TEST_CASE("layer_norm starts as weight 1 and bias 0") {
  const auto weights = initial_parameters<float>(nn::layer_norm<3>{}, {.seed = 1});
  CHECK(test::elements(weights["weight"]) == std::vector<double>{1, 1, 1});
  CHECK(test::elements(weights["bias"]) == std::vector<double>{0, 0, 0});
}
