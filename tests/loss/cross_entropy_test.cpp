#include <doctest/doctest.h>

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/ops/cross_entropy_cpu.hpp>
#include <milkit/ops/softmax_cpu.hpp>

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

TEST_CASE_TEMPLATE("cross_entropy agrees with the oracle", T, float, double) {
  cpu backend{.threads = 1};
  for (const std::int64_t classes : {1, 2, 3, 31})
    for (const std::int64_t bags : {1, 2, 33}) {
      const auto logits = test::normals<T>(shape<2>{bags, classes}, 1, 3);
      loss::cross_entropy loss;
      for (std::int64_t c = 0; c < classes; ++c) loss.class_weight.push_back(0.5 + static_cast<double>(c));
      labels_list labels;
      std::vector<double> gradient;
      double sum = 0, weights = 0;
      for (std::int64_t b = 0; b < bags; ++b) {
        labels.push_back((b * 7 + 1) % classes);
        const double weight = loss.class_weight[static_cast<std::size_t>(labels.back())];
        const auto want = reference::cross_entropy(test::elements(logits.view().rows(b, 1)),
                                                   static_cast<std::size_t>(labels.back()), weight);
        sum += want.loss;
        weights += weight;
        gradient.insert(gradient.end(), want.gradient.begin(), want.gradient.end());
      }
      for (double& each : gradient) each *= 0.25 / weights;
      tensor<T, 2> dlogits(logits.shape());
      const double got = loss::value_and_gradient(loss, backend, logits.view(), view_of_labels(labels), 0.25, dlogits.view());
      CHECK(test::close(got, sum / weights, {1e-14, 1e-13}));
      CHECK(relative_error(dlogits, gradient) <= test::tolerance_of<T>(1e-13, 1e-6));
      CHECK(loss::value(loss, backend, logits.view(), view_of_labels(labels)) == got);
    }
}

TEST_CASE("cross_entropy gradients agree with central differences") {
  cpu backend{.threads = 1};
  auto logits = test::normals<double>(shape<2>{5, 4}, 1, 2);
  const labels_list labels{0, 3, 1, 1, 2};
  const loss::cross_entropy loss{.class_weight = {1, 2, 0, 0.5}};
  tensor<double, 2> dlogits(logits.shape());
  loss::value_and_gradient(loss, backend, logits.view(), view_of_labels(labels), 1, dlogits.view());
  const auto value = [&] { return loss::value(loss, backend, logits.view(), view_of_labels(labels)); };
  CHECK(relative_error(dlogits, test::central_differences(logits.view(), value)) <= 1e-8);
}

TEST_CASE_TEMPLATE("cross_entropy of extreme logits", T, float, double) {
  cpu backend{.threads = 1};
  const T infinity = std::numeric_limits<T>::infinity();
  const auto outcome = [&](std::vector<T> z, std::int64_t label) {
    const labels_list labels{label};
    std::vector<T> gradient(z.size(), T(-9));
    const shape<2> one{1, static_cast<std::int64_t>(z.size())};
    const double value = loss::value_and_gradient(loss::cross_entropy{}, backend, matrix_view<const T>(z.data(), one), view_of_labels(labels), 1, matrix_view<T>(gradient.data(), one));
    return std::pair(value, test::elements(gradient));
  };
  using values = std::vector<double>;
  CHECK(outcome({1000, -1000}, 0) == std::pair(0.0, values{0, 0}));
  CHECK(outcome({1000, -1000}, 1) == std::pair(2000.0, values{1, -1}));
  CHECK(outcome({5, -infinity}, 0) == std::pair(0.0, values{0, 0}));
  CHECK(outcome({5, -infinity}, 1) == std::pair(HUGE_VAL, values{1, -1}));
  for (const std::vector<T>& z : {std::vector<T>{T(NAN), 0, 1}, {0, T(NAN), 1}, {0, 1, T(NAN)}})
    for (const std::int64_t label : {0, 1, 2}) {
      const auto [value, gradient] = outcome(z, label);
      CHECK(std::isnan(value));
      for (const double each : gradient) CHECK(std::isnan(each));
    }
}

TEST_CASE("cross_entropy refuses labels outside the classes, an empty batch, and weights that do not fit") {
  cpu backend{.threads = 1};
  const tensor<float, 2> logits(shape<2>{3, 2});
  const auto value = [&](const labels_list& labels, const loss::cross_entropy& loss = {}) {
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

TEST_CASE_TEMPLATE("cross_entropy agrees with the golden tensors", T, float, double) {
  cpu backend{.threads = 1};
  for (const std::string name :
       {"core_cross_entropy", "core_cross_entropy_one", "core_cross_entropy_weights", "core_cross_entropy_large"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto logits = golden.get<T, 2>("logits");
    const auto labels = golden.file().read<std::int64_t>("label").values;
    loss::cross_entropy loss;
    if (golden.has("class_weight")) loss.class_weight = golden.file().read<double>("class_weight").values;
    const vector_view<const double> weights =
        loss.class_weight.empty() ? vector_view<const double>()
                                  : vector_view<const double>(loss.class_weight.data(),
                                                              {static_cast<std::int64_t>(loss.class_weight.size())});
    tensor<T, 2> gradient(logits.shape()), probabilities(logits.shape());
    tensor<double, 1> losses(shape<1>{logits.rows()});
    const std::vector<double> mean{
        loss::value_and_gradient(loss, backend, logits.view(), view_of_labels(labels), 1, gradient.view())};
    CHECK(golden.error("loss", mean) <= golden_tolerance<T>);
    CHECK(golden.error("grad.logits", gradient) <= golden_tolerance<T>);
    ops::cross_entropy(backend, logits.view(), view_of_labels(labels), weights, 1, losses.view(), gradient.view());
    CHECK(golden.error("losses", losses) <= golden_tolerance<T>);
    CHECK(golden.error("grad_sum.logits", gradient) <= golden_tolerance<T>);
    double sum = 0;
    for (const double each : test::elements(losses)) sum += each;
    CHECK(golden.error("loss_sum", std::vector<double>{sum}) <= golden_tolerance<T>);
    ops::softmax(backend, logits.view(), probabilities.view(), vector_view<T>());
    CHECK(golden.error("probabilities", probabilities) <= golden_tolerance<T>);
  }
}
