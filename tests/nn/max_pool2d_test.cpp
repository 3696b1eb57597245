#include <milkit/ops/images/pool2d_cpu.hpp>

#include "max_pool2d_cases.hpp"

using namespace milkit;

TEST_CASE("max_pool2d halves by default, leaves the odd rest out, and refuses images without a window") {
  CHECK(nn::max_pool2d{}.output_shape({0, 5, 25, 24}) == shape<4>{0, 5, 12, 12});
  CHECK_THROWS_AS((nn::max_pool2d{}.output_shape({1, 5, 1, 24})), shape_error);
  CHECK_THROWS_AS((nn::max_pool2d{.kernel = 3, .padding = 2}.output_shape({1, 5, 9, 9})), value_error);
}
