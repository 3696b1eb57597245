#pragma once

#include <milkit/ops/rows/softmax.hpp>
#include <milkit/sampling/counts.hpp>
#include <milkit/sampling/exact.hpp>
#include <milkit/sampling/top_n.hpp>
#include <milkit/sampling/uniform.hpp>
#include <milkit/sampling/with_replacement.hpp>
#include <milkit/sampling/without_replacement.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/on_backend.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::sampling_cases {

using ops::draw_estimator;

/// A softmax, draws from it, and a gradient of a function of the weighted sum, where the backend works.
template <class T>
struct one_row {
  backend_type backend = make_backend();
  resident<T, 2> p, q;  ///< attention, and its complement
  resident<std::int64_t, 1> offsets;
  resident<std::int32_t, 1> items;

  explicit one_row(const tensor<T, 1>& logits) {
    const auto on = put(matrix_view<const T>(logits.data(), {1, logits.extent(0)}));
    p = resident<T, 2>(on.shape());
    q = resident<T, 2>(on.shape());
    ops::softmax(backend, on.view(), p.view(), vector_view<T, backend_space>());
  }
  void draws(const tensor<std::int64_t, 1>& which) {
    tensor<std::int64_t, 1> ends(shape<1>{2});
    ends.data()[1] = which.extent(0);
    tensor<std::int32_t, 1> narrow(which.shape());
    for (std::int64_t k = 0; k < which.extent(0); ++k) narrow.data()[k] = static_cast<std::int32_t>(which.data()[k]);
    offsets = put(ends);
    items = put(narrow);
  }
  ops::draw_list<backend_space> list() const { return {offsets.view(), items.view()}; }
};

template <class T>
struct estimate {
  tensor<T, 1> weights;
  tensor<T, 2> output, dfeatures, dlogits;  ///< [1, D], [K, D], [1, K]
};

/// F at these draws from `of` (a row's p or its complement), and the gradients of <u, F>; the logits are those of p.
template <class T>
estimate<T> estimate_of(one_row<T>& row, const ops::draw_rule& rule, bool complement, const tensor<T, 2>& features,
                        const tensor<T, 1>& upstream) {
  auto& backend = row.backend;
  const auto list = row.list();
  const std::int64_t n = row.items.extent(0), d = features.extent(1), k = features.extent(0);
  if (complement) ops::complement(backend, constant(row.p), row.q.view());
  const auto of = complement ? constant(row.q) : constant(row.p);
  tensor<T, 2> picked({n, d});
  const auto which = fetch(row.items);
  for (std::int64_t m = 0; m < n; ++m) std::copy_n(features.view().row(which.data()[m]), d, picked.view().row(m));
  const auto f = put(picked);
  const auto u = put(matrix_view<const T>(upstream.data(), {1, d}));
  resident<T, 1> weights(shape<1>{n}), backward(shape<1>{n}), a(shape<1>{n}), dlog(shape<1>{n});
  resident<T, 2> output(shape<2>{1, d}), df(shape<2>{n, d}), dlogits(shape<2>{1, k});
  ops::draw_weights(backend, rule, of, list, weights.view(), backward.view());
  ops::expectation(backend, list, weights.view(), f.view(), output.view());
  ops::expectation_backward(backend, list, backward.view(), f.view(), u.view(), a.view(), df.view());
  ops::draw_log_gradient(backend, rule, of, list, weights.view(), a.view(), dlog.view());
  if (complement) ops::complement_log_gradient(backend, constant(row.p), constant(row.q), list, dlog.view());
  ops::add_logit_gradient(backend, constant(row.p), list, dlog.view(), dlogits.view());
  estimate<T> made{fetch(weights), fetch(output), tensor<T, 2>({k, d}), fetch(dlogits)};
  const auto back = fetch(df);
  for (std::int64_t m = 0; m < n; ++m)
    for (std::int64_t j = 0; j < d; ++j) made.dfeatures.view()(which.data()[m], j) += back.view()(m, j);
  return made;
}

TEST_CASE_TEMPLATE("draws without replacement agree with the golden tensors in every form", T, MILKIT_FLOATS) {
  for (const char* name :
       {"uniform", "last", "one", "all", "single_position", "peaked", "all_last", "underflow", "complement"}) {
    CAPTURE(name);
    const golden_case golden("sampling_without_replacement_" + std::string(name));
    const bool complement = golden.has("complement");
    one_row<T> row(golden.get<T, 1>("logits"));
    row.draws(golden.get<std::int64_t, 1>("draws"));
    const auto weights = golden.get<double, 1>("weights");
    const std::int64_t n = weights.extent(0);
    const bool last = n > 1 && weights.data()[n - 1] == 1;
    const auto features = golden.get<T, 2>("features");
    const auto upstream = golden.get<T, 1>("grad_output");
    const double slack = std::string(name) == "underflow" ? 1e-11 : 1e-13;
    const auto made = [&](draw_estimator form) {
      return estimate_of(row, {form, last}, complement, features, upstream);
    };
    const auto own = made(draw_estimator::ordered);
    CHECK(output_within<T>(golden, "attention", fetch(row.p)));
    CHECK(golden.within("output", own.output, tolerance_of<T>(1e-10, 1e-5), tolerance_of<T>(slack, 1e-6)));
    CHECK(golden.within("grad.features", own.dfeatures, tolerance_of<T>(1e-10, 1e-4), tolerance_of<T>(slack, 1e-6)));
    CHECK(golden.within("grad.logits", own.dlogits, tolerance_of<T>(1e-10, 1e-4), tolerance_of<T>(slack, 1e-6)));
    if (golden.has("grad_score.logits"))
      CHECK(gradient_within<T>(golden, "grad_score.logits", made(draw_estimator::score).dlogits));
    if (golden.has("grad_ats.logits"))
      CHECK(gradient_within<T>(golden, "grad_ats.logits", made(draw_estimator::official_ats).dlogits));
    if (golden.has("grad_code.logits")) {
      const auto code = made(draw_estimator::official_zoom_in);
      CHECK(gradient_within<T>(golden, "grad_code.logits", code.dlogits));
      CHECK(gradient_within<T>(golden, "grad_code.features", code.dfeatures));
      CHECK(same_bits(code.output, own.output));
    }
  }
}

/// Counts as draws of distinct items and their weights, as a sampler with replacement makes them.
TEST_CASE_TEMPLATE("draws with replacement agree with the golden tensors", T, MILKIT_FLOATS) {
  for (const char* name : {"uniform", "few", "single_category", "complement"}) {
    CAPTURE(name);
    const golden_case golden("sampling_with_replacement_" + std::string(name));
    const bool complement = golden.has("complement");
    one_row<T> row(golden.get<T, 1>("logits"));
    auto& backend = row.backend;
    const auto scope = backend.workspace.scope();
    if (complement) ops::complement(backend, constant(row.p), row.q.view());
    const sampling::distributions<T, backend_space> of{complement ? constant(row.q) : constant(row.p)};
    const auto counts = golden.get<std::int64_t, 1>("counts");
    const auto made = sampling::detail::with_counts(
        backend, of, [&](std::int64_t, std::int64_t i) -> std::int64_t { return counts.data()[i]; });
    tensor<std::int64_t, 1> which(made.items.shape());
    for (std::int64_t k = 0; k < which.extent(0); ++k) which.data()[k] = made.items(k);
    row.draws(which);
    const auto features = golden.get<T, 2>("features");
    tensor<T, 2> picked({which.extent(0), features.extent(1)});
    for (std::int64_t m = 0; m < which.extent(0); ++m)
      std::copy_n(features.view().row(which.data()[m]), features.extent(1), picked.view().row(m));
    const auto f = put(picked);
    const auto upstream = golden.get<T, 1>("grad_output");
    const auto u = put(matrix_view<const T>(upstream.data(), {1, upstream.extent(0)}));
    resident<T, 2> output(u.shape()), df(f.shape()), dlogits(row.p.shape());
    resident<T, 1> a(which.shape());
    ops::expectation(backend, made.list, made.weights, f.view(), output.view());
    ops::expectation_backward(backend, made.list, made.backward, f.view(), u.view(), a.view(), df.view());
    const auto d = sampling::log_gradient(backend, sampling::with_replacement{}, of, made, a.view());
    if (complement) ops::complement_log_gradient(backend, constant(row.p), constant(row.q), made.list, d);
    ops::add_logit_gradient(backend, constant(row.p), made.list, d, dlogits.view());
    CHECK(output_within<T>(golden, "output", fetch(output)));
    CHECK(gradient_within<T>(golden, "grad.logits", fetch(dlogits)));
    if (complement) CHECK(output_within<T>(golden, "complement", fetch(row.q)));
    tensor<T, 2> dfeatures(features.shape());
    const auto back = fetch(df);
    for (std::int64_t m = 0; m < which.extent(0); ++m)
      std::copy_n(back.view().row(m), features.extent(1), dfeatures.view().row(which.data()[m]));
    CHECK(gradient_within<T>(golden, "grad.features", dfeatures));
  }
}

template <class T, class Body>
tensor<std::int64_t, 1> items_of(backend_type& backend, std::int64_t n, Body&& fill) {
  tensor<std::int64_t, 1> ends(shape<1>{2});
  ends.data()[1] = n;
  const auto offsets = put(ends);
  resident<std::int32_t, 1> items(shape<1>{n});
  fill(ops::draw_list<backend_space>{offsets.view(), {}}, items.view());
  const auto host = fetch(items);
  tensor<std::int64_t, 1> wide(host.shape());
  for (std::int64_t k = 0; k < n; ++k) wide.data()[k] = host.data()[k];
  static_cast<void>(backend);
  return wide;
}

TEST_CASE_TEMPLATE("draws from given uniforms agree with the golden tensors", T, MILKIT_FLOATS) {
  backend_type backend = make_backend();
  for (const char* name :
       {"sampling_gumbel_topk", "sampling_gumbel_topk_one", "sampling_gumbel_topk_all", "sampling_gumbel_topk_single",
        "sampling_gumbel_topk_on_prob", "sampling_gumbel_topk_zeros"}) {
    CAPTURE(name);
    const golden_case golden(name);
    const auto attention = golden.get<T, 1>("attention");
    const auto p = put(matrix_view<const T>(attention.data(), {1, attention.extent(0)}));
    const auto uniforms = put(golden.get<double, 1>("uniforms"));
    const resident<std::int64_t, 1> numbers(shape<1>{1});
    const auto law = std::string(name).ends_with("on_prob") ? ops::draw_law::exp_p : ops::draw_law::p;
    CHECK(golden.equal(
        "draws", items_of<T>(backend, golden.option<std::int64_t>("draw_count"), [&](const auto& list, auto items) {
          ops::draw_items(backend, ops::given_uniforms<backend_space>{uniforms.view()}, law, constant(p), list,
                          constant(numbers), items);
        })));
  }
  for (const char* name : {"sampling_multinomial", "sampling_multinomial_few", "sampling_multinomial_zeros",
                           "sampling_multinomial_single"}) {
    CAPTURE(name);
    const golden_case golden(name);
    const auto p = put(golden.get<T, 1>("attention"));
    const auto uniforms = put(golden.get<double, 1>("uniforms"));
    resident<std::int64_t, 1> counts(p.shape());
    ops::draw_counts(backend, ops::given_uniforms<backend_space>{uniforms.view()}, constant(p), uniforms.extent(0),
                     false, counts.view());
    CHECK(golden.equal("counts", fetch(counts)));
  }
  const golden_case golden("sampling_top_n");
  const auto attention = golden.get<T, 1>("attention");
  const auto p = put(matrix_view<const T>(attention.data(), {1, attention.extent(0)}));
  CHECK(golden.equal("draws",
                     items_of<T>(backend, golden.option<std::int64_t>("draw_count"), [&](const auto& list, auto items) {
                       ops::most_likely_items(backend, constant(p), list, items);
                     })));
}

}  // namespace milkit::test::sampling_cases

MILKIT_UNOPTIMISED_END
