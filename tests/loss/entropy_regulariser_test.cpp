#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/training/distribution_loss_cpu.hpp>

#include "entropy_regulariser_cases.hpp"

using namespace milkit;

TEST_CASE("entropy_regulariser: no gradient where nobody wants one; offsets and sizes are checked") {
  cpu backend{.threads = 1};
  const loss::entropy_regulariser entropy{.lambda = 1};
  const std::int64_t ends[] = {0, 2, 3}, wrong[] = {0, 2, 4};
  const auto p = test::normals<double>(shape<1>{3}, 1);
  tensor<double, 1> values(shape<1>{2}), few(shape<1>{1});
  const vector_view<double> none;
  CHECK_NOTHROW(
      entropy.evaluate(backend, vector_view<const std::int64_t>(ends, {3}), p.view(), 1, values.view(), none));
  CHECK_THROWS_WITH_AS(
      entropy.evaluate(backend, vector_view<const std::int64_t>(wrong, {3}), p.view(), 1, values.view(), none),
      "milkit::ops::distribution_loss: offsets[2] is 4, expected 3, the number of rows", value_error);
  CHECK_THROWS_WITH_AS(
      entropy.evaluate(backend, vector_view<const std::int64_t>(ends, {3}), p.view(), 1, few.view(), none),
      "milkit::ops::distribution_loss: extent of values is 1, expected 2", shape_error);
  CHECK(entropy.settings() == "entropy, lambda 1");
}
