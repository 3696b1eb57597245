#include <doctest/doctest.h>

#include <milkit/loss/binary_cross_entropy.hpp>
#include <milkit/ops/activation_cpu.hpp>
#include <milkit/ops/cross_entropy_cpu.hpp>

#include <reference/cross_entropy.hpp>
#include <support/golden.hpp>
#include <support/gradient_check.hpp>

using namespace milkit;
using test::golden_tolerance, test::relative_error;

namespace {

using labels_list = std::vector<std::int64_t>;
vector_view<const std::int64_t> view_of_labels(const labels_list& labels) {
  return {labels.data(), {static_cast<std::int64_t>(labels.size())}};
}

}  // namespace

TEST_CASE_TEMPLATE("binary_cross_entropy agrees with the oracle", T, float, double) {
  cpu backend{.threads = 1};
  for (const std::int64_t bags : {1, 2, 33}) {
    const auto logits = test::normals<T>(shape<2>{bags, 1}, 1, 3);
    const loss::binary_cross_entropy loss{.positive_weight = 2.5};
    labels_list labels;
    std::vector<double> gradient;
    double sum = 0;
    for (std::int64_t b = 0; b < bags; ++b) {
      labels.push_back(b % 3 == 0);
      const auto want =
          reference::binary_cross_entropy(static_cast<double>(logits.view()(b, 0)), labels.back() == 1, 2.5);
      sum += want.loss;
      gradient.push_back(want.gradient[0] * 0.5 / static_cast<double>(bags));
    }
    tensor<T, 2> dlogits(logits.shape());
    const double got = loss::value_and_gradient(loss, backend, logits.view(), view_of_labels(labels), 0.5, dlogits.view());
    CHECK(test::close(got, sum / static_cast<double>(bags), {0, 1e-13}));
    CHECK(relative_error(dlogits, gradient) <= test::tolerance_of<T>(1e-13, 1e-6));
    CHECK(loss::value(loss, backend, logits.view(), view_of_labels(labels)) == got);
  }
}

TEST_CASE("binary_cross_entropy gradients agree with central differences") {
  cpu backend{.threads = 1};
  auto logits = test::normals<double>(shape<2>{6, 1}, 4, 2);
  const labels_list labels{0, 1, 1, 0, 0, 1};
  const loss::binary_cross_entropy loss{.positive_weight = 3};
  tensor<double, 2> dlogits(logits.shape());
  loss::value_and_gradient(loss, backend, logits.view(), view_of_labels(labels), 1, dlogits.view());
  const auto value = [&] { return loss::value(loss, backend, logits.view(), view_of_labels(labels)); };
  CHECK(relative_error(dlogits, test::central_differences(logits.view(), value)) <= 1e-8);
}

TEST_CASE_TEMPLATE("binary_cross_entropy of extreme logits", T, float, double) {
  cpu backend{.threads = 1};
  const auto outcome = [&](T z, std::int64_t label) {
    T gradient = -9;
    const labels_list labels{label};
    const double value = loss::value_and_gradient(loss::binary_cross_entropy{}, backend, matrix_view<const T>(&z, {1, 1}), view_of_labels(labels), 1, matrix_view<T>(&gradient, {1, 1}));
    return std::pair(value, gradient);
  };
  for (const T sign : {T(1), T(-1)}) {
    const std::int64_t right = sign > 0, wrong = 1 - right;
    CHECK(outcome(sign * 1000, right) == std::pair(0.0, T(0)));
    CHECK(outcome(sign * 1000, wrong) == std::pair(1000.0, sign));
    CHECK(outcome(sign * std::numeric_limits<T>::infinity(), right) == std::pair(0.0, T(0)));
    CHECK(outcome(sign * std::numeric_limits<T>::infinity(), wrong) == std::pair(HUGE_VAL, sign));
  }
  for (const std::int64_t label : {0, 1}) {
    CHECK(std::isnan(outcome(T(NAN), label).first));
    CHECK(std::isnan(outcome(T(NAN), label).second));
  }
}

TEST_CASE("binary_cross_entropy refuses other labels and shapes") {
  cpu backend{.threads = 1};
  const tensor<float, 2> logits(shape<2>{2, 1}), wide(shape<2>{2, 2});
  const loss::binary_cross_entropy loss;
  const labels_list good{0, 1}, bad{0, 2}, three{0, 1, 1}, none;
  CHECK_THROWS_WITH_AS(loss::value(loss, backend, logits.view(), view_of_labels(bad)),
                       "milkit::loss::binary_cross_entropy: label 2 of bag 1 is outside the 2 classes, expected 0 to 1",
                       value_error);
  CHECK_THROWS_AS(loss::value(loss, backend, logits.view(), view_of_labels(none)), value_error);
  CHECK_THROWS_AS(loss::value(loss, backend, logits.view(), view_of_labels(three)), shape_error);
  CHECK_THROWS_WITH_AS(loss::value(loss, backend, wide.view(), view_of_labels(good)),
                       "milkit::loss::binary_cross_entropy: columns of the logits is 2, expected 1", shape_error);
}

TEST_CASE_TEMPLATE("binary_cross_entropy agrees with the golden tensors", T, float, double) {
  cpu backend{.threads = 1};
  for (const std::string name :
       {"core_binary_logits", "core_binary_logits_one", "core_binary_logits_large", "core_binary_logits_weight"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto logits = golden.get<T, 1>("logits");
    const matrix_view<const T> column(logits.data(), {logits.rows(), 1});
    const auto labels = golden.file().read<std::int64_t>("label").values;
    loss::binary_cross_entropy loss;
    if (golden.has("positive_weight")) loss.positive_weight = golden.option<double>("positive_weight");
    tensor<T, 2> gradient(column.shape()), probabilities(column.shape());
    const std::vector<double> mean{
        loss::value_and_gradient(loss, backend, column, view_of_labels(labels), 1, gradient.view())};
    CHECK(golden.error("loss", mean) <= golden_tolerance<T>);
    CHECK(golden.error("grad.logits", gradient) <= golden_tolerance<T>);
    tensor<double, 1> losses(logits.shape());
    tensor<T, 1> sums(logits.shape());
    ops::binary_cross_entropy(backend, logits.view(), view_of_labels(labels), loss.positive_weight, 1, losses.view(),
                              sums.view());
    CHECK(golden.error("losses", losses) <= golden_tolerance<T>);
    CHECK(golden.error("grad_sum.logits", sums) <= golden_tolerance<T>);
    double sum = 0;
    for (const double each : test::elements(losses)) sum += each;
    CHECK(golden.error("loss_sum", std::vector<double>{sum}) <= golden_tolerance<T>);
    ops::activate(backend, ops::sigmoid_function{}, column, probabilities.view());
    CHECK(golden.error("probabilities", probabilities) <= golden_tolerance<T>);
  }
}
