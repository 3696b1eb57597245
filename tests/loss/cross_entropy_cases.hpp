#pragma once

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/ops/rows/softmax.hpp>

#include <reference/cross_entropy.hpp>
#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/loss_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::cross_entropy_cases {

TEST_CASE_TEMPLATE("cross_entropy agrees with the oracle", T, MILKIT_FLOATS) {
  const auto check = [](std::int64_t bags, std::int64_t classes) {
    CAPTURE(bags);
    CAPTURE(classes);
    const auto logits = normals<T>(shape<2>{bags, classes}, 1, 3);
    loss::cross_entropy loss;
    for (std::int64_t c = 0; c < classes; ++c) loss.class_weight.push_back(0.5 + static_cast<double>(c));
    label_list labels;
    std::vector<double> gradient;
    double sum = 0, weights = 0;
    for (std::int64_t b = 0; b < bags; ++b) {
      labels.push_back((b * 7 + 1) % classes);
      const double weight = loss.class_weight[static_cast<std::size_t>(labels.back())];
      const auto want =
          reference::cross_entropy(elements(logits.view().rows(b, 1)), static_cast<std::size_t>(labels.back()), weight);
      sum += want.loss;
      weights += weight;
      gradient.insert(gradient.end(), want.gradient.begin(), want.gradient.end());
    }
    for (double& each : gradient) each *= 0.25 / weights;
    const auto got = run_loss(loss, logits, labels, 0.25);
    CHECK(close(got.mean, sum / weights, {1e-14, 1e-13}));
    CHECK(relative_error(got.gradient, gradient) <= tolerance_of<T>(1e-13, 1e-6));
  };
  for (const std::int64_t classes : {1, 2, 3, 31})
    for (const std::int64_t bags : {1, 2, 33}) check(bags, classes);
  for (const std::int64_t bags : row_counts)
    if (bags <= 1000 || sizeof(T) == 4) check(bags, 2);
}

TEST_CASE("cross_entropy gradients agree with central differences") {
  auto logits = normals<double>(shape<2>{5, 4}, 1, 2);
  const label_list labels{0, 3, 1, 1, 2};
  const loss::cross_entropy loss{.class_weight = {1, 2, 0, 0.5}};
  const auto value = [&] { return run_loss(loss, logits, labels).mean; };
  CHECK(relative_error(run_loss(loss, logits, labels).gradient, central_differences(logits.view(), value)) <= 1e-8);
}

TEST_CASE_TEMPLATE("cross_entropy of extreme logits", T, MILKIT_FLOATS) {
  const T infinity = std::numeric_limits<T>::infinity();
  const auto outcome = [&](const std::vector<T>& z, std::int64_t label) {
    tensor<T, 2> logits(shape<2>{1, static_cast<std::int64_t>(z.size())});
    std::copy(z.begin(), z.end(), logits.data());
    const auto got = run_loss(loss::cross_entropy{}, logits, {label});
    return std::pair(got.mean, elements(got.gradient));
  };
  using values = std::vector<double>;
  CHECK(outcome({1000, -1000}, 0) == std::pair(0.0, values{0, 0}));
  CHECK(outcome({1000, -1000}, 1) == std::pair(2000.0, values{1, -1}));
  CHECK(outcome({5, -infinity}, 0) == std::pair(0.0, values{0, 0}));
  CHECK(outcome({5, -infinity}, 1) == std::pair(HUGE_VAL, values{1, -1}));
}

TEST_CASE_TEMPLATE("cross_entropy of NaN", T, MILKIT_FLOATS) {
  backend_type backend = make_backend(1);
  for (std::int64_t place = 0; place < 3; ++place)
    for (const std::int64_t label : {0, 1, 2}) {
      tensor<T, 2> logits(shape<2>{1, 3});
      logits.view()(0, 2) = 1;
      logits.view()(0, place) = std::numeric_limits<T>::quiet_NaN();
      const auto z = put(logits);
      resident<T, 2> gradient(logits.shape());
      CHECK(std::isnan(loss::value_and_gradient(loss::cross_entropy{}, backend, z.view(), view_of_labels({label}), 1,
                                                gradient.view())));
      for (const double each : elements(fetch(gradient))) CHECK(std::isnan(each));
    }
}

TEST_CASE_TEMPLATE("cross_entropy agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const std::string name :
       {"core_cross_entropy", "core_cross_entropy_one", "core_cross_entropy_weights", "core_cross_entropy_large"}) {
    CAPTURE(name);
    const golden_case golden(name);
    loss::cross_entropy loss;
    if (golden.has("class_weight")) loss.class_weight = golden.file().read<double>("class_weight").values;
    const auto logits = golden.get<T, 2>("logits");
    loss_golden(golden, loss, logits, golden.file().read<std::int64_t>("label").values);
    backend_type backend = make_backend(1);
    const auto z = put(logits);
    resident<T, 2> probabilities(logits.shape());
    ops::softmax(backend, z.view(), probabilities.view(), vector_view<T, backend_space>());
    CHECK(golden.error("probabilities", fetch(probabilities)) <= golden_tolerance<T>);
  }
}

}  // namespace milkit::test::cross_entropy_cases

MILKIT_UNOPTIMISED_END
