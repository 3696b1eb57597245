// labels: unsanitized
#include <doctest/doctest.h>

#include <map>

#include <milkit/sampling/with_replacement.hpp>
#include <milkit/sampling/without_replacement.hpp>

#include <support/chance.hpp>
#include <support/golden.hpp>

#include "stages.hpp"

// What the samplers really draw: frequencies against the stored laws.

using namespace milkit;
using test::golden_case;

namespace {

/// So many rows of the same p.
tensor<double, 2> repeated(const tensor<double, 1>& p, std::int64_t rows) {
  tensor<double, 2> all({rows, p.extent(0)});
  for (std::int64_t r = 0; r < rows; ++r) std::copy_n(p.data(), p.extent(0), all.view().row(r));
  return all;
}
/// How often each row of `outcomes` was seen.
std::vector<double> often(const tensor<std::int64_t, 2>& outcomes, std::map<std::vector<std::int64_t>, double>& count) {
  std::vector<double> seen;
  for (std::int64_t m = 0; m < outcomes.extent(0); ++m) {
    const auto row = outcomes.view().row(m);
    seen.push_back(count[{row, row + outcomes.extent(1)}]);
  }
  return seen;
}
std::vector<double> stored(const golden_case& golden, const std::string& name) {
  return golden.file().read<double>(name, data::conversion::nearest).values;
}

constexpr std::int64_t rows = 2000, batches = 150;

/// use(drawn, row) for 3 10^5 draws of n from p.
template <class Sampler, class Use>
void draw_many(const Sampler& by, const tensor<double, 1>& p, std::int64_t n, Use&& use) {
  cpu backend{.threads = 1};
  const auto all = repeated(p, rows);
  const std::vector<std::int64_t> draws(static_cast<std::size_t>(rows), n);
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    const auto scope = backend.workspace.scope();
    const auto made = by.draw(backend, sampling::distributions<double>{all.view()},
                              vector_view<const std::int64_t>(draws.data(), {rows}), sampling::drawing::random,
                              random_stream(7, static_cast<std::uint64_t>(batch), 1));
    for (std::int64_t r = 0; r < rows; ++r) use(made, r);
  }
}
constexpr double many = rows * batches;

}  // namespace

TEST_CASE("sampling: ordered draws without replacement come as often as their law says") {
  const golden_case golden("sampling_law_without_replacement");
  const auto p = golden.get<double, 1>("attention");
  const auto outcomes = golden.get<std::int64_t, 2>("outcomes");
  const std::int64_t n = outcomes.extent(1);
  for (const bool on_prob : {false, true}) {
    CAPTURE(on_prob);
    sampling::without_replacement by;
    by.law = on_prob ? ops::draw_law::exp_p : ops::draw_law::p;
    std::map<std::vector<std::int64_t>, double> count;
    std::vector<double> included(static_cast<std::size_t>(p.extent(0)));
    draw_many(by, p, n, [&](const sampling::drawn<double>& made, std::int64_t r) {
      std::vector<std::int64_t> own;
      for (std::int64_t k = made.offsets(r); k < made.offsets(r + 1); ++k) own.push_back(made.items(k));
      ++count[own];
      for (const std::int64_t i : own) ++included[static_cast<std::size_t>(i)];
    });
    CHECK(test::as_often_as(stored(golden, on_prob ? "probability_on_prob" : "probability"), often(outcomes, count),
                            many));
    if (on_prob) continue;
    const auto inclusion = stored(golden, "inclusion");
    for (std::size_t i = 0; i < inclusion.size(); ++i)
      CHECK(std::abs(included[i] / many - inclusion[i]) <=
            test::most_error(many, inclusion[i] * (1 - inclusion[i]), 1, static_cast<double>(inclusion.size())));
  }
}

TEST_CASE("sampling: counts with replacement come as often as the multinomial law says") {
  const golden_case golden("sampling_law_multinomial");
  const auto p = golden.get<double, 1>("attention");
  const auto outcomes = golden.get<std::int64_t, 2>("outcomes");
  std::int64_t n = 0;
  for (std::int64_t i = 0; i < p.extent(0); ++i) n += outcomes.view()(0, i);
  std::map<std::vector<std::int64_t>, double> count;
  draw_many(sampling::with_replacement{}, p, n, [&](const sampling::drawn<double>& made, std::int64_t r) {
    std::vector<std::int64_t> own(static_cast<std::size_t>(p.extent(0)));
    for (std::int64_t k = made.offsets(r); k < made.offsets(r + 1); ++k)
      own[static_cast<std::size_t>(made.items(k))] = made.counts(k);
    ++count[own];
  });
  CHECK(test::as_often_as(stored(golden, "probability"), often(outcomes, count), many));
}

TEST_CASE("sampling: stratified counts have the means n p_i and lie within 2 of them") {
  for (const std::int64_t n : {1, 7, 100}) {
    CAPTURE(n);
    tensor<double, 1> p(shape<1>{6});
    const double values[] = {0.4, 0.0, 0.013, 0.25, 0.3, 0.037};
    std::copy_n(values, 6, p.data());
    double sum[6] = {}, square[6] = {}, most = 0;
    draw_many(sampling::stratified{}, p, n, [&](const sampling::drawn<double>& made, std::int64_t r) {
      double own[6] = {};
      for (std::int64_t k = made.offsets(r); k < made.offsets(r + 1); ++k)
        own[made.items(k)] = static_cast<double>(made.counts(k));
      for (std::size_t i = 0; i < 6; ++i) {
        const double off = own[i] - static_cast<double>(n) * values[i];
        most = std::max(most, std::abs(off));
        sum[i] += off;
        square[i] += off * off;
      }
    });
    CHECK(most < 2);
    for (std::size_t i = 0; i < 6; ++i) {
      const double variance = static_cast<double>(n) * values[i] * (1 - values[i]);  // of independent draws, no less
      CHECK(std::abs(sum[i] / many) <= test::most_error_seen(many, square[i] / many, 4, 6) + 1e-12);
      CHECK(square[i] / many <= variance + test::most_error(many, 4 * variance, 4, 6) + 1e-12);  // off^4 <= 4 off^2
    }
  }
}
