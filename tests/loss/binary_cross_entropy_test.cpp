#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>

#include "binary_cross_entropy_cases.hpp"

using namespace milkit;
using test::view_of_labels, test::label_list;

TEST_CASE("binary_cross_entropy refuses other labels and shapes") {
  cpu backend{.threads = 1};
  const tensor<float, 2> logits(shape<2>{2, 1}), wide(shape<2>{2, 2});
  const loss::binary_cross_entropy loss;
  const label_list good{0, 1}, bad{0, 2}, three{0, 1, 1}, none;
  CHECK_THROWS_WITH_AS(loss::value(loss, backend, logits.view(), view_of_labels(bad)),
                       "milkit::loss::binary_cross_entropy: label 2 of bag 1 is outside the 2 classes, expected 0 to 1",
                       value_error);
  CHECK_THROWS_AS(loss::value(loss, backend, logits.view(), view_of_labels(none)), value_error);
  CHECK_THROWS_AS(loss::value(loss, backend, logits.view(), view_of_labels(three)), shape_error);
  CHECK_THROWS_WITH_AS(loss::value(loss, backend, wide.view(), view_of_labels(good)),
                       "milkit::loss::binary_cross_entropy: columns of the logits is 2, expected 1", shape_error);
}
