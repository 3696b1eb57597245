#include <milkit/ops/images/conv2d_cpu.hpp>

#include "conv2d_same_cases.hpp"

using namespace milkit;

TEST_CASE("conv2d_same keeps sizes, and with a stride takes the ceiling") {
  CHECK(nn::conv2d_same<3, 8, 7>{}.output_shape({2, 3, 5, 1}) == shape<4>{2, 8, 5, 1});
  CHECK(nn::conv2d_same<3, 8, 3, true, 2>{}.output_shape({2, 3, 5, 8}) == shape<4>{2, 8, 3, 4});
  CHECK(parameter_count(nn::conv2d_same<3, 8, 3>{}) == 224);
  CHECK(parameter_count(nn::conv2d_same<3, 8, 3, false>{}) == 216);
}
