#include <milkit/ops/products/linear_cpu.hpp>

#include "linear_cases.hpp"

using namespace milkit;

TEST_CASE("linear refuses other widths and an unset dimension") {
  CHECK_THROWS_WITH_AS((nn::linear<4, 2>{}.output_shape({3, 5})),
                       "milkit::nn::linear: features of the input is 5, expected 4", shape_error);
  CHECK_THROWS_WITH_AS((nn::linear<dynamic_extent, 2>{}.output_shape({3, 5})),
                       "milkit: a dimension known at run time is 0; set it in the layer's braces", value_error);
  cpu backend{.threads = 1};
  tensor<float, 2> x(shape<2>{2, 3}), weight(shape<2>{4, 3}), y(shape<2>{2, 4});
  CHECK_THROWS_WITH_AS(ops::linear(backend, x.view(), weight.view(), tensor<float, 1>(shape<1>{2}).view(), y.view()),
                       "milkit::ops::linear: extent of bias is 2, expected 4", shape_error);
  CHECK_THROWS_WITH_AS(ops::linear(backend, x.view(), y.view(), vector_view<float>(), y.view()),
                       "milkit::ops::linear: columns of weight is 4, expected 3", shape_error);
}
