#include <milkit/ops/images/batch_norm2d_cpu.hpp>
#include <milkit/ops/rows/reduce_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>

#include "batch_norm2d_cases.hpp"

using namespace milkit;

TEST_CASE("batch_norm2d counts no statistic among its parameters, and starts them as mean 0 and variance 1") {
  const auto weights = initial_parameters<float>(nn::batch_norm2d<3>{}, {.seed = 1});
  CHECK(weights.count() == 6);
  CHECK(parameter_stretch(nn::batch_norm2d<3>{}) == 16);
  CHECK(test::elements(weights["weight"]) == std::vector<double>{1, 1, 1});
  CHECK(test::elements(weights["running_mean"]) == std::vector<double>{0, 0, 0});
  CHECK(test::elements(weights["running_var"]) == std::vector<double>{1, 1, 1});
  CHECK(test::elements(weights["num_batches_tracked"]) == std::vector<double>{0});
}

TEST_CASE("batch_norm2d refuses other channels, a negative eps and a momentum above 1") {
  CHECK_THROWS_WITH_AS(nn::batch_norm2d<4>{}.output_shape({2, 5, 1, 1}),
                       "milkit::nn::batch_norm2d: channels of the input is 5, expected 4", shape_error);
  cpu backend{.threads = 1};
  const auto run = [&](const nn::batch_norm2d<1>& layer) {
    const tensor<double, 1> weights(shape<1>{16});
    const auto x = test::normals<double>(shape<4>{2, 1, 2, 2}, 1);
    test::run_layer<double>(backend, layer, weights, x.view(), x.view(), pass{.training = true});
  };
  CHECK_THROWS_WITH_AS(run({.eps = -1}), "milkit::ops::batch_norm2d: eps is -1, expected 0 or more", value_error);
  CHECK_THROWS_WITH_AS(run({.momentum = 2}), "milkit::ops::batch_norm2d_track: momentum is 2, expected 0 to 1",
                       value_error);
}
