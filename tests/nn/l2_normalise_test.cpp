#include <milkit/ops/rows/l2_normalise_cpu.hpp>

#include "l2_normalise_cases.hpp"

using namespace milkit;

TEST_CASE("l2_normalise has no parameters and refuses another shape") {
  CHECK(parameter_count(nn::l2_normalise{}) == 0);
  cpu backend{.threads = 1};
  const tensor<float, 2> x(shape<2>{2, 3});
  tensor<float, 2> y(shape<2>{2, 4});
  tensor<double, 1> norms(shape<1>{2});
  CHECK_THROWS_WITH_AS(ops::l2_normalise(backend, x.view(), y.view(), norms.view()),
                       "milkit::ops::l2_normalise: y is [2, 4], expected [2, 3]", shape_error);
}
