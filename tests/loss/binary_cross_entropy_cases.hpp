#pragma once

#include <milkit/loss/binary_cross_entropy.hpp>
#include <milkit/ops/rows/activation.hpp>

#include <reference/cross_entropy.hpp>
#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/loss_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::binary_cross_entropy_cases {

TEST_CASE_TEMPLATE("binary_cross_entropy agrees with the oracle", T, MILKIT_FLOATS) {
  for (const std::int64_t bags : row_counts) {
    CAPTURE(bags);
    const auto logits = normals<T>(shape<2>{bags, 1}, 1, 3);
    const loss::binary_cross_entropy loss{.positive_weight = 2.5};
    label_list labels;
    std::vector<double> gradient;
    double sum = 0;
    for (std::int64_t b = 0; b < bags; ++b) {
      labels.push_back(b % 3 == 0);
      const auto want =
          reference::binary_cross_entropy(static_cast<double>(logits.view()(b, 0)), labels.back() == 1, 2.5);
      sum += want.loss;
      gradient.push_back(want.gradient[0] * 0.5 / static_cast<double>(bags));
    }
    const auto got = run_loss(loss, logits, labels, 0.5);
    CHECK(close(got.mean, sum / static_cast<double>(bags), {0, 1e-13}));
    CHECK(relative_error(got.gradient, gradient) <= tolerance_of<T>(1e-13, 1e-6));
  }
}

TEST_CASE("binary_cross_entropy gradients agree with central differences") {
  auto logits = normals<double>(shape<2>{6, 1}, 4, 2);
  const label_list labels{0, 1, 1, 0, 0, 1};
  const loss::binary_cross_entropy loss{.positive_weight = 3};
  const auto value = [&] { return run_loss(loss, logits, labels).mean; };
  CHECK(relative_error(run_loss(loss, logits, labels).gradient, central_differences(logits.view(), value)) <= 1e-8);
}

TEST_CASE_TEMPLATE("binary_cross_entropy of extreme logits and NaN", T, MILKIT_FLOATS) {
  backend_type backend = make_backend(1);
  const auto outcome = [&](T z, std::int64_t label) {
    const auto logits = put(matrix_view<const T>(&z, {1, 1}));
    resident<T, 2> gradient(logits.shape());
    const double value = loss::value_and_gradient(loss::binary_cross_entropy{}, backend, logits.view(),
                                                  view_of_labels({label}), 1, gradient.view());
    return std::pair(value, fetch(gradient).data()[0]);
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

TEST_CASE_TEMPLATE("binary_cross_entropy agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const std::string name :
       {"core_binary_logits", "core_binary_logits_one", "core_binary_logits_large", "core_binary_logits_weight"}) {
    CAPTURE(name);
    const golden_case golden(name);
    loss::binary_cross_entropy loss;
    if (golden.has("positive_weight")) loss.positive_weight = golden.option<double>("positive_weight");
    const auto stored = golden.get<T, 1>("logits");
    tensor<T, 2> logits(shape<2>{stored.rows(), 1});
    std::copy_n(stored.data(), stored.size(), logits.data());
    loss_golden(golden, loss, logits, golden.file().read<std::int64_t>("label").values);
    backend_type backend = make_backend(1);
    const auto z = put(logits);
    resident<T, 2> probabilities(logits.shape());
    ops::activate(backend, ops::sigmoid_function{}, z.view(), probabilities.view());
    CHECK(golden.error("probabilities", fetch(probabilities)) <= golden_tolerance<T>);
  }
}

}  // namespace milkit::test::binary_cross_entropy_cases

MILKIT_UNOPTIMISED_END
