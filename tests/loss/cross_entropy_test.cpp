#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>

#include "cross_entropy_cases.hpp"

using namespace milkit;
using test::view_of_labels, test::label_list;

TEST_CASE("cross_entropy refuses labels outside the classes, an empty batch, and weights that do not fit") {
  cpu backend{.threads = 1};
  const tensor<float, 2> logits(shape<2>{3, 2});
  const auto value = [&](const label_list& labels, const loss::cross_entropy& loss = {}) {
    return loss::value(loss, backend, logits.view(), view_of_labels(labels));
  };
  CHECK_THROWS_WITH_AS(value({0, 2, 1}),
                       "milkit::loss::cross_entropy: label 2 of bag 1 is outside the 2 classes, expected 0 to 1",
                       value_error);
  CHECK_THROWS_WITH_AS(value({0, 1, -1}),
                       "milkit::loss::cross_entropy: label -1 of bag 2 is outside the 2 classes, expected 0 to 1",
                       value_error);
  CHECK_THROWS_WITH_AS(value({}), "milkit::loss::cross_entropy: the batch is empty, expected at least one bag",
                       value_error);
  CHECK_THROWS_AS(value({0, 1}), shape_error);
  CHECK_THROWS_AS(value({0, 1, 1}, {.class_weight = {1}}), shape_error);
  CHECK_THROWS_AS(value({1, 1, 1}, {.class_weight = {1, 0}}), value_error);
}
