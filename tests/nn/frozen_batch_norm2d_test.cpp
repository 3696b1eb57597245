#include <milkit/ops/images/batch_norm2d_cpu.hpp>

#include "frozen_batch_norm2d_cases.hpp"

using namespace milkit;

TEST_CASE("frozen_batch_norm2d: other channels -> shape_error") {
  CHECK_THROWS_WITH_AS(nn::frozen_batch_norm2d<4>{}.output_shape({2, 5, 1, 1}),
                       "milkit::nn::frozen_batch_norm2d: channels of the input is 5, expected 4", shape_error);
}
