#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/training/distribution_loss_cpu.hpp>

#include "pixel_supervision_cases.hpp"

using namespace milkit;

TEST_CASE("pixel_supervision refuses a mask of another size") {
  cpu backend{.threads = 1};
  const std::int64_t ends[] = {0, 3};
  const auto p = test::normals<double>(shape<1>{3}, 1), mask = test::normals<double>(shape<1>{2}, 1);
  tensor<double, 1> values(shape<1>{1});
  CHECK_THROWS_WITH_AS(loss::pixel_supervision{}.evaluate(backend, vector_view<const std::int64_t>(ends, {2}), p.view(),
                                                          mask.view(), 1, values.view(), vector_view<double>()),
                       "milkit::ops::distribution_loss: extent of mask is 2, expected 3", shape_error);
}
