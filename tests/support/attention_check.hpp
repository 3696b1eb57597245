#pragma once

#include <support/pooling_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

/// What is promised of `attention`, `gated_attention` and `dual_gated_attention` alike.
namespace milkit::test {

/// Values and gradients, at odd sizes, one by one and as a ragged batch, with and without a gradient on the attention.
template <class T, class Pooler>
void attention_agrees(const Pooler& pooler, reference::branch_function f,
                      const std::vector<std::vector<std::int64_t>>& bags_of_sizes = bag_sizes) {
  const pooling_check<Pooler, T> check(pooler, pooler.in);
  const attention_oracle<Pooler, T> oracle(check.weights(), f);
  const double tolerance = tolerance_of<T>(1e-11, 1e-5);
  for (const std::vector<std::int64_t>& sizes : bags_of_sizes)
    for (const int attentions : {0, Pooler::attentions}) {
      if (attentions == 0 && sizes.front() > 1000) continue;  // once is enough of so many
      CAPTURE(sizes.front());
      CAPTURE(attentions);
      const auto bags = random_bags<T>(sizes, pooler.in, attentions);
      const auto got = check.run(bags);
      CHECK(relative_error(got, oracle(bags)) <= tolerance);
      check.sums_to_one(got, bags);
    }
}

template <class Pooler>
void attention_gradients(const Pooler& pooler) {
  const pass how{.training = true, .random = random_stream(3, 1, 4)};
  check_pooling_gradients(pooler, pooler.in, 0, {.how = how});
  check_pooling_gradients(pooler, pooler.in, Pooler::attentions, {.chunk_rows = 4, .how = how});
}

/// Another bias of the score shifts every logit: nothing else moves, and its gradient is exactly 0.
template <class T, class Pooler>
void attention_feels_no_shift(const Pooler& pooler) {
  auto weights = initial_parameters<T>(pooling_of<Pooler>{.pooler = pooler}, {.seed = 2});
  const auto bags = random_bags<T>({20, 3}, pooler.in, Pooler::attentions);
  const auto before = run_pooling<T>(pooler, weights.flat(), bags);
  weights["pooler.w.bias"](0) += T(2);
  const auto after = run_pooling<T>(pooler, weights.flat(), bags);
  const double rounding = tolerance_of<T>(1e-12, 1e-5);
  CHECK(close(static_cast<double>(after.logits.view()(0, 0)), static_cast<double>(before.logits.view()(0, 0)) + 2,
              {.absolute = rounding}));
  CHECK(relative_error(after.embedding, before.embedding) <= rounding);
  CHECK(relative_error(after.attention, before.attention) <= rounding);
  CHECK(relative_error(after.dx, before.dx) <= rounding);
  for (const auto& entry : weights.entries())
    if (entry.name.ends_with("w.bias")) CHECK(before.gradient.data()[entry.offset] == 0);
}

template <class T, class Pooler>
void attention_extremes(const Pooler& pooler) {
  auto weights = initial_parameters<T>(pooling_of<Pooler>{.pooler = pooler}, {.seed = 2});
  const std::int64_t d = pooler.in;

  auto one = random_bags<T>({1}, d, Pooler::attentions);
  const auto alone = run_pooling<T>(pooler, weights.flat(), one);
  for (const double a : elements(alone.attention)) CHECK(a == 1);
  CHECK(elements(alone.embedding) == elements(one.x));
  CHECK(relative_error(alone.dx, one.dembedding) <= tolerance_of<T>(1e-14, 1e-6));
  for (const double g : elements(alone.gradient)) CHECK(close(g, 0, {.absolute = tolerance_of<T>(1e-13, 1e-5)}));

  ragged<T> equal = random_bags<T>({64}, d);
  for (std::int64_t i = 1; i < 64; ++i) std::copy_n(equal.x.data(), d, equal.x.view().row(i));
  for (const double a : elements(run_pooling<T>(pooler, weights.flat(), equal, {.chunk_rows = 7}).attention))
    CHECK(close(a, 1.0 / 64, {.relative = tolerance_of<T>(1e-12, 1e-5)}));

  auto spread = weights.clone();  // logits of hundreds, so that most weights underflow
  for (const auto& entry : spread.entries())
    if (entry.name.ends_with("w.weight"))
      for (std::int64_t i = 0; i < entry.size(); ++i) spread.flat()(entry.offset + i) *= T(3000);
  const auto bags = random_bags<T>({300}, d);
  const auto far = run_pooling<T>(pooler, spread.flat(), bags, {.chunk_rows = 32});
  const auto z = elements(far.logits);
  CHECK(*std::max_element(z.begin(), z.end()) - *std::min_element(z.begin(), z.end()) > 200);
  pooling_check<Pooler, T>::sums_to_one(far, bags);
  for (const auto& all : {elements(far.embedding), elements(far.dx), elements(far.gradient)})
    for (const double each : all) CHECK(std::isfinite(each));

  // NaN in one bag is NaN in its attention and embedding, and in nothing of another bag.
  for (const std::int64_t chunk_rows : {0, 1, 8}) {
    auto two = random_bags<T>({20, 9}, d);
    const auto clean = run_pooling<T>(pooler, weights.flat(), two, {.chunk_rows = chunk_rows});
    two.x.view()(13, d - 1) = std::numeric_limits<T>::quiet_NaN();
    const auto got = run_pooling<T>(pooler, weights.flat(), two, {.chunk_rows = chunk_rows});
    for (const double each : elements(got.attention.view().rows(0, 20))) CHECK(std::isnan(each));
    for (const double each : elements(got.embedding.view().rows(0, 1))) CHECK(std::isnan(each));
    CHECK(same_bits(got.attention.view().rows(20, 9), clean.attention.view().rows(20, 9)));
    CHECK(same_bits(got.embedding.view().rows(1, 1), clean.embedding.view().rows(1, 1)));
  }

  // An infinite feature saturates the branches, and comes out in its column of the embedding.
  auto infinite = random_bags<T>({20}, d);
  infinite.x.view()(13, 0) = -std::numeric_limits<T>::infinity();
  const auto got = run_pooling<T>(pooler, weights.flat(), infinite);
  pooling_check<Pooler, T>::sums_to_one(got, infinite);
  CHECK(got.embedding.data()[0] == -std::numeric_limits<T>::infinity());
}

/// A golden case: `attention.` names are ours with `pooler.`, and of AB-MIL `a`, `b` and `score` are v, u and w.
template <class T, class Pooler>
void attention_golden(const std::string& name, const Pooler& pooler, double tolerance = tolerance_of<T>(1e-9, 1e-5),
                      double gradient_tolerance = tolerance_of<T>(1e-9, 1e-5)) {
  CAPTURE(name);
  const golden_case golden(name);
  const auto golden_name = [&](std::string ours) {
    ours.erase(0, std::string("pooler.").size());
    if (!ours.starts_with("zoom.")) ours = "attention." + ours;
    if (!golden.has("attention.score.weight")) return ours;
    for (const auto& [from, to] : {std::pair(".v.", ".a."), std::pair(".u.", ".b."), std::pair(".w.", ".score.")})
      if (const auto at = ours.find(from); at != std::string::npos) ours.replace(at, 3, to);
    return ours;
  };
  parameters<pooling_of<Pooler>, T> weights(pooling_of<Pooler>{.pooler = pooler});
  for (const auto& entry : weights.entries()) {
    const auto values = golden.file().read<T>(golden_name(entry.name), data::conversion::nearest).values;
    REQUIRE(static_cast<std::int64_t>(values.size()) == entry.size());
    std::copy(values.begin(), values.end(), weights.flat().data() + entry.offset);
  }
  auto bags = golden_bags<T>(golden);
  for (int h = 0; h < Pooler::attentions; ++h) {
    const std::string upstream = h == 0 ? "grad_attention" : "grad_zoom_attention";
    if (!golden.has(upstream)) continue;
    if (bags.dattention.size() == 0) bags.dattention = tensor<T, 2>({bags.x.rows(), Pooler::attentions});
    const auto values = golden.get<T, 1>(upstream);
    for (std::int64_t i = 0; i < bags.x.rows(); ++i) bags.dattention.view()(i, h) = values.data()[i];
  }
  for (const std::int64_t chunk_rows : {0, 5}) {
    const auto got = run_pooling<T>(pooler, weights.flat(), bags, {.chunk_rows = chunk_rows});
    CHECK(golden.error("output", got.embedding) <= tolerance);
    for (int h = 0; h < Pooler::attentions; ++h) {
      CHECK(golden.error(h == 0 ? "logits" : "zoom_logits", got.logits.view().columns(h, 1)) <= tolerance);
      CHECK(golden.error(h == 0 ? "attention" : "zoom_attention", got.attention.view().columns(h, 1)) <= tolerance);
    }
    CHECK(golden.error("grad.x", got.dx) <= gradient_tolerance);
    for (const auto& entry : weights.entries()) {
      CAPTURE(entry.name);
      CHECK(golden.error("grad." + golden_name(entry.name), got.gradient.view().rows(entry.offset, entry.size())) <=
            gradient_tolerance);
    }
  }
}

}  // namespace milkit::test

MILKIT_UNOPTIMISED_END
