#include <milkit/ops/images/pool2d_cpu.hpp>

#include "global_average_pool_cases.hpp"

using namespace milkit;

TEST_CASE("global_average_pool takes no images, and none without pixels") {
  cpu backend{.threads = 1};
  const nn::global_average_pool layer;
  CHECK(layer.output_shape({0, 5, 3, 3}) == shape<2>{0, 5});
  const tensor<float, 4> x(shape<4>{2, 3, 0, 4});
  tensor<float, 2> y(shape<2>{2, 3});
  saved_of<nn::global_average_pool, view<const float, 4>> kept;
  CHECK_THROWS_AS(layer.forward(context{backend, vector_view<const float>()}, x.view(), y.view(), kept), shape_error);
}
