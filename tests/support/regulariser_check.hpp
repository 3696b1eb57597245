#pragma once

#include <vector>

#include <milkit/ops/rows/softmax.hpp>

#include <reference/regularisers.hpp>
#include <support/golden.hpp>
#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test {

using offset_list = std::vector<std::int64_t>;

template <class T>
struct regularised {
  tensor<T, 1> attention;
  std::vector<double> values;  ///< of the segments
  tensor<T, 1> dlogits;
};

/// What a regulariser says of the softmax of each segment's logits; `mask` is handed on where it is not empty. The gradient
/// starts as `before`.
template <class T, class Loss>
regularised<T> run_regulariser(backend_type& backend, const Loss& loss, const tensor<T, 1>& logits,
                               const offset_list& ends, const std::vector<double>& mask = {}, double scale = 1,
                               T before = 0) {
  const auto segments = static_cast<std::int64_t>(ends.size()) - 1;
  const auto offsets = put(vector_view<const std::int64_t>(ends.data(), {segments + 1}));
  const auto z = put(logits);
  resident<T, 1> p(logits.shape());
  const vector_view<T, backend_space> none;
  ops::segment_softmax(backend, offsets.view(), constant(z), p.view(), none);
  tensor<T, 1> start(logits.shape()), target(logits.shape());
  std::fill_n(start.data(), start.size(), before);
  for (std::size_t i = 0; i < mask.size(); ++i) target.data()[i] = static_cast<T>(mask[i]);
  auto dlogits = put(start);
  const auto m = put(target);
  resident<double, 1> values(shape<1>{segments});
  if constexpr (requires {
                  loss.evaluate(backend, offsets.view(), constant(p), constant(m), scale, values.view(),
                                dlogits.view());
                })
    loss.evaluate(backend, offsets.view(), constant(p), constant(m), scale, values.view(), dlogits.view());
  else loss.evaluate(backend, offsets.view(), constant(p), scale, values.view(), dlogits.view());
  return {fetch(p), elements(fetch(values)), fetch(dlogits)};
}

/// What the head of loss/regulariser.hpp promises, against `plain(logits, mask)` of one segment.
template <class Loss, class Plain>
void check_regulariser(const Loss& loss, const Plain& plain) {
  const auto masks = [](std::int64_t n) {
    std::vector<double> mask;
    for (std::int64_t i = 0; i < n; ++i) mask.push_back(i % 3 == 1);
    return mask;
  };
  const auto against_loops = [&]<class T>(T) {
    for (const offset_list& ends : {offset_list{0, 1}, {0, 31}, {0, 2, 2, 35, 36, 293, 1293}, {0, 0}, {0}}) {
      backend_type backend = make_backend();
      const auto logits = normals<T>(shape<1>{ends.back()}, 1, 2);
      const std::vector<double> z = elements(logits), mask = masks(ends.back());
      std::vector<double> values, gradient;
      for (std::size_t b = 0; b + 1 < ends.size(); ++b) {
        const auto part = [&](const std::vector<double>& all) {
          return std::vector<double>(all.begin() + ends[b], all.begin() + ends[b + 1]);
        };
        const reference::regulariser want = plain(part(z), part(mask));
        values.push_back(want.value);
        for (const double each : want.gradient) gradient.push_back(0.5 * each + 3);
      }
      const auto got = run_regulariser<T>(backend, loss, logits, ends, mask, 0.5, T(3));
      CHECK(relative_error(got.values, values) <= tolerance_of<T>(1e-12, 2e-6));
      CHECK(relative_error(got.dlogits, gradient) <= tolerance_of<T>(1e-13, 1e-6));
      in_every_way([&](backend_type& other) {
        const auto again = run_regulariser<T>(other, loss, logits, ends, mask, 0.5, T(3));
        CHECK(same_bits(again.values, got.values));
        CHECK(same_bits(again.dlogits, got.dlogits));
      });
    }
  };
  against_loops(float());
  against_loops(double());

  backend_type backend = make_backend();
  auto logits = normals<double>(shape<1>{12}, 4);
  const offset_list ends{0, 5, 12};
  const std::vector<double> mask = masks(12);
  const auto total = [&] {
    double sum = 0;
    for (const double each : run_regulariser(backend, loss, logits, ends, mask).values) sum += each;
    return sum;
  };
  const auto got = run_regulariser(backend, loss, logits, ends, mask);
  CHECK(relative_error(got.dlogits, central_differences(logits.view(), total)) <= 1e-8);
  double sum = 0;  // a softmax does not feel a shift
  for (const double each : elements(got.dlogits)) sum += each;
  CHECK(std::abs(sum) <= 1e-15);
  const auto alone = run_regulariser(backend, loss, normals<double>(shape<1>{1}, 1), {0, 1}, {1});
  CHECK(std::abs(alone.dlogits.data()[0]) <= 1e-15);

  logits.data()[7] = std::nan("");
  const auto odd = run_regulariser(backend, loss, logits, ends, mask);
  CHECK(odd.values[0] == got.values[0]);
  CHECK(std::isnan(odd.values[1]));
  for (std::int64_t i = 0; i < 12; ++i) CHECK(std::isnan(odd.dlogits.data()[i]) == (i >= 5));
}

}  // namespace milkit::test

MILKIT_UNOPTIMISED_END
