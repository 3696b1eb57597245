#pragma once

#include <milkit/loss/loss.hpp>

#include <support/golden.hpp>
#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test {

using label_list = std::vector<std::int64_t>;
inline vector_view<const std::int64_t> view_of_labels(const label_list& labels) {
  return {labels.data(), {static_cast<std::int64_t>(labels.size())}};
}

template <class T>
struct loss_result {
  double mean = 0;
  tensor<T, 2> gradient;     ///< `scale` times that of the mean
  tensor<double, 1> losses;  ///< of each bag, times its weight
  double total = 0;          ///< the sum of the weights
};

/// A loss of logits of the host, and its gradient.
template <class T, class Loss>
loss_result<T> run_loss(const Loss& loss, const tensor<T, 2>& logits, const label_list& labels, double scale = 1) {
  backend_type backend = make_backend(1);
  const auto z = put(logits);
  resident<T, 2> dlogits(logits.shape());
  resident<double, 1> losses(shape<1>{static_cast<std::int64_t>(labels.size())});
  loss_result<T> out;
  out.total = loss.evaluate(backend, z.view(), view_of_labels(labels), scale, losses.view(), dlogits.view());
  out.gradient = fetch(dlogits);
  out.losses = fetch(losses);
  for (const double each : elements(out.losses)) out.mean += each;
  out.mean /= out.total;
  return out;
}

/// `value` and `value_and_gradient` are that mean and that gradient.
template <class T, class Loss>
void waits_for_the_same(const Loss& loss, const tensor<T, 2>& logits, const label_list& labels) {
  backend_type backend = make_backend(1);
  const auto z = put(logits);
  resident<T, 2> dlogits(logits.shape());
  const auto want = run_loss(loss, logits, labels, 0.5);
  CHECK(loss::value_and_gradient(loss, backend, z.view(), view_of_labels(labels), 0.5, dlogits.view()) == want.mean);
  CHECK(same_bits(fetch(dlogits), want.gradient));
  CHECK(loss::value(loss, backend, z.view(), view_of_labels(labels)) == want.mean);
}

/// What the golden files have of every loss.
template <class T, class Loss>
void loss_golden(const golden_case& golden, const Loss& loss, const tensor<T, 2>& logits, const label_list& labels) {
  const auto got = run_loss(loss, logits, labels);
  CHECK(golden.error("loss", std::vector<double>{got.mean}) <= golden_tolerance<T>);
  CHECK(golden.error("grad.logits", got.gradient) <= golden_tolerance<T>);
  CHECK(golden.error("losses", got.losses) <= golden_tolerance<T>);
  CHECK(golden.error("loss_sum", std::vector<double>{got.mean * got.total}) <= golden_tolerance<T>);
  CHECK(golden.error("grad_sum.logits", run_loss(loss, logits, labels, got.total).gradient) <= golden_tolerance<T>);
  waits_for_the_same(loss, logits, labels);
}

}  // namespace milkit::test

MILKIT_UNOPTIMISED_END
