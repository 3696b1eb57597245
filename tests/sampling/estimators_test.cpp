#include <doctest/doctest.h>

#include <numeric>

#include <milkit/sampling/exact.hpp>
#include <milkit/sampling/without_replacement.hpp>

#include <reference/draws.hpp>
#include <support/gradient_check.hpp>
#include <support/normals.hpp>

#include "stages.hpp"

// Weights and gradients of given draws against plain loops (tests/reference/draws.hpp), at odd sizes and of awkward
// probabilities.

using namespace milkit;
using ops::draw_estimator;
using reference::attention_form;

namespace {

std::vector<double> softmax_of(std::int64_t items, std::uint64_t seed, double scale) {
  auto p = test::elements(test::normals<double>(shape<1>{items}, seed, scale));
  double mass = 0;
  for (double& each : p) mass += each = std::exp(each);
  for (double& each : p) each /= mass;
  return p;
}
/// Some `n` of them, in some order.
std::vector<std::size_t> some(std::size_t items, std::size_t n, std::size_t first = 0) {
  std::size_t step = 7;
  while (std::gcd(step, items) != 1) ++step;
  std::vector<std::size_t> all;
  for (std::size_t k = 0; k < n; ++k) all.push_back((first + k * step) % items);
  return all;
}

template <class T>
std::vector<double> weights_of(const std::vector<double>& p, const std::vector<std::size_t>& draws,
                               const ops::draw_rule& rule = {}) {
  cpu backend;
  const auto items = static_cast<std::int64_t>(p.size()), n = static_cast<std::int64_t>(draws.size());
  tensor<T, 2> row({1, items});
  for (std::size_t i = 0; i < p.size(); ++i) row.data()[i] = static_cast<T>(p[i]);
  tensor<std::int32_t, 1> which(shape<1>{n});
  for (std::size_t k = 0; k < draws.size(); ++k) which.data()[k] = static_cast<std::int32_t>(draws[k]);
  const std::int64_t ends[] = {0, n};
  const ops::draw_list<> list{vector_view<const std::int64_t>(ends, {2}), std::as_const(which).view()};
  tensor<T, 1> weights(shape<1>{n});
  ops::draw_weights(backend, rule, row.view(), list, weights.view(), vector_view<T>());
  return test::elements(weights);
}

/// The way of many draws, for any number.
std::vector<double> by_integrals(const std::vector<double>& p, const std::vector<std::size_t>& draws) {
  const std::vector<std::int32_t> items(draws.begin(), draws.end());
  std::vector<double> weights(draws.size()), memory(2 * draws.size());
  const ops::detail::drawn_row<double> row{p.data(), static_cast<std::int64_t>(p.size()), items.data(),
                                           static_cast<std::int64_t>(items.size())};
  const ops::detail::one_lane team;
  ops::detail::integral_weights(row, row.rest(team), team, weights.data(), memory.data());
  return weights;
}

double worst(const std::vector<double>& got, const std::vector<double>& want) {
  double off = got.size() == want.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < want.size(); ++i)
    off = std::abs(got[i] - want[i]) <= off ? off : std::abs(got[i] - want[i]);  // NaN is the worst
  return off;
}
/// Each by itself, as small as it is.
double worst_relative(const std::vector<double>& got, const std::vector<double>& want) {
  double off = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double own = got[i] == want[i] ? 0 : std::abs(got[i] - want[i]) / std::abs(want[i]);
    off = own <= off ? off : own;
  }
  return off;
}

/// All outputs and gradients of `draws`.
reference::draws_estimate estimate(const std::vector<double>& p, const std::vector<std::vector<double>>& f,
                                   const std::vector<double>& u, const std::vector<std::size_t>& draws,
                                   const ops::draw_rule& rule) {
  const auto items = static_cast<std::int64_t>(p.size()), width = static_cast<std::int64_t>(u.size());
  test::two_stages one{tensor<double, 1>(shape<1>{1}), tensor<double, 2>({1, items}),
                       tensor<double, 3>({1, items, width})};
  one.attention1.data()[0] = 1;
  std::copy(p.begin(), p.end(), one.attention2.data());
  for (std::size_t i = 0; i < f.size(); ++i)
    std::copy(f[i].begin(), f[i].end(), one.features.data() + static_cast<std::int64_t>(i) * width);
  test::given_counts outer{tensor<std::int64_t, 2>({1, 1})};
  outer.counts.data()[0] = static_cast<std::int64_t>(draws.size());
  const test::given_draws inner{rule, {draws.begin(), draws.end()}};
  cpu backend;
  const auto got = one.run(backend, 1, outer.counts.data()[0], outer, inner,
                           [&](auto, matrix_view<double> gradient) { std::copy(u.begin(), u.end(), gradient.row(0)); });
  reference::draws_estimate made{test::elements(got.output), {}, test::elements(got.dlogits2)};
  const auto df = test::elements(got.dfeatures);
  for (std::size_t i = 0; i < f.size(); ++i)
    made.dfeatures.emplace_back(df.begin() + static_cast<std::ptrdiff_t>(i * u.size()),
                                df.begin() + static_cast<std::ptrdiff_t>((i + 1) * u.size()));
  return made;
}
double worst(const reference::draws_estimate& got, const reference::draws_estimate& want) {
  double off = std::max(test::relative_error(got.output, want.output), worst(got.dlogits, want.dlogits));
  for (std::size_t i = 0; i < want.dfeatures.size(); ++i)
    off = std::max(off, worst(got.dfeatures[i], want.dfeatures[i]));
  return off;
}

struct numbers_of {
  std::vector<std::vector<double>> f;
  std::vector<double> u;
  numbers_of(std::size_t items, std::size_t width)
      : u(test::elements(test::normals<double>(shape<1>{static_cast<std::int64_t>(width)}, 3))) {
    const auto all = test::elements(test::normals<double>(shape<1>{static_cast<std::int64_t>(items * width)}, 4));
    for (std::size_t i = 0; i < items; ++i)
      f.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(i * width),
                     all.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
  }
};

}  // namespace

TEST_CASE("sampling: outputs and gradients of the ordered forms are those of plain loops") {
  struct sizes {
    std::int64_t items;
    std::size_t n, width;
  };
  for (const sizes& own :
       {sizes{1, 1, 1}, {2, 1, 3}, {2, 2, 1}, {5, 3, 2}, {7, 7, 3}, {31, 6, 1}, {33, 20, 5}, {257, 100, 2}}) {
    const std::int64_t items = own.items;
    const std::size_t n = own.n;
    CAPTURE(items);
    CAPTURE(n);
    for (const double scale : {0.0, 1.0, 4.0}) {
      const auto p = softmax_of(items, 17, scale);
      const numbers_of given(p.size(), own.width);
      const auto draws = some(p.size(), n);
      for (const bool last : {false, true}) {
        std::vector<double> w(n, last ? 0.0 : 1.0 / static_cast<double>(n));
        if (last) w.back() = 1;
        for (const auto& [form, name] : {std::pair{draw_estimator::ordered, attention_form::raj},
                                         {draw_estimator::score, attention_form::score},
                                         {draw_estimator::official_ats, attention_form::ats},
                                         {draw_estimator::official_zoom_in, attention_form::zoom_in}}) {
          if (last && form != draw_estimator::ordered && form != draw_estimator::score) continue;
          const auto got = estimate(p, given.f, given.u, draws, {form, last});
          CHECK(worst(got, reference::ordered_expectation(p, given.f, given.u, draws, w, name)) <= 1e-10);
        }
      }
    }
  }
}

TEST_CASE("sampling: unordered weights -> Murthy's by orders, by subsets, by integrals") {
  for (const double scale : {0.0, 1.0, 3.0, 8.0})
    for (const std::size_t items : {2u, 7u, 40u, 300u}) {
      CAPTURE(scale);
      CAPTURE(items);
      const auto p = softmax_of(static_cast<std::int64_t>(items), 5, scale);
      for (std::size_t n = 1; n <= std::min<std::size_t>(items, 7); ++n) {
        CAPTURE(n);
        const auto draws = some(items, n, 1), orders = some(items, n, 1);
        const auto want = reference::murthy_by_orders(p, draws);
        CHECK(worst(weights_of<double>(p, draws), want) <= 1e-12);
        CHECK(worst_relative(weights_of<double>(p, draws), want) <= 1e-9);
        if (n < items && n > 1) CHECK(worst(by_integrals(p, draws), want) <= 1e-12);
        CHECK(worst(reference::murthy_by_subsets(p, draws), want) <= 1e-14);
      }
      for (const std::size_t n : {9u, 14u})
        if (n <= items) {
          const auto want = reference::murthy_by_subsets(p, some(items, n));
          CHECK(worst(weights_of<double>(p, some(items, n)), want) <= 1e-12);
          CHECK(worst(reference::murthy_by_integrals(p, some(items, n)), want) <= 1e-14);
        }
      for (const std::size_t n : {31u, 100u})
        if (n < items)
          CHECK(worst(weights_of<double>(p, some(items, n)), reference::murthy_by_integrals(p, some(items, n))) <=
                1e-12);
    }
}

TEST_CASE("sampling: peaked, tiny and equal probabilities -> exact unordered weights") {
  const auto check = [](std::vector<double> p, const std::vector<std::size_t>& draws) {
    const auto want = reference::murthy_by_orders(p, draws);
    const auto got = weights_of<double>(p, draws);
    CHECK(worst(got, want) <= 1e-12);
    CHECK(std::abs(test::total(got) - 1) <= 1e-12);
    for (double& each : p) each = static_cast<float>(each);
    const auto rounded = weights_of<float>(p, draws);
    CHECK(worst_relative(rounded, weights_of<double>(p, draws)) <= 1.2e-7);
  };
  const std::vector<std::size_t> four{4, 0, 2, 3};
  check({0.9, 0.02, 0.02, 0.02, 0.02, 0.02}, four);
  check({0.2, 0.2, 0.2, 0.2, 0.2}, four);
  check({1 - 1e-9, 2e-10, 3e-10, 1e-10, 4e-10}, four);
  check({0.5, 0.5 - 3e-30, 1e-30, 1e-30, 1e-30}, four);
  check({1e-30, 0.25, 0.25, 0.25, 1e-30, 0.25}, four);
  check({1e-30, 1.0, 1e-30, 1e-30, 1e-30, 1e-30}, four);
  check({1e-30, 1.0, 1e-30, 1e-30, 1e-30, 1e-30}, {1, 2, 3, 4, 5});
  check({0.1, 0.2, 0.3, 0.15, 0.25}, {1, 0, 4, 2, 3});
  check({1e-300, 1.0, 1e-300, 1e-320}, {0, 1});
  CHECK(weights_of<double>({0.5, 0.0, 0.5, 0.0}, {2, 0, 1}) == std::vector<double>{0.5, 0.5, 0.0});
  const auto with_zero = weights_of<double>({0.25, 0.0, 0.5, 0.25}, {2, 0, 1});
  CHECK(worst({with_zero[0], with_zero[1]}, reference::murthy_by_orders({0.25, 0.5, 0.25}, {1, 0})) <= 1e-12);
  CHECK(with_zero[2] == 0);
}

TEST_CASE("sampling: all drawn, one draw, any order -> exact, weight 1, unordered unchanged") {
  for (const std::int64_t items : {1, 2, 6, 33, 130}) {
    CAPTURE(items);
    const auto p = softmax_of(items, 2, 2.0);
    const numbers_of given(p.size(), 3);
    const auto exact = reference::exact_expectation(p, given.f, given.u);
    const auto all = some(p.size(), p.size());
    CHECK(worst(estimate(p, given.f, given.u, all, {}), exact) <= 1e-14);
    CHECK(worst(estimate(p, given.f, given.u, all, {draw_estimator::ordered, true}), exact) <= 1e-13);
    auto in_order = p;
    for (std::size_t k = 0; k < all.size(); ++k) in_order[k] = p[all[k]];
    CHECK(weights_of<double>(p, all) == in_order);
    CHECK(weights_of<double>(p, {p.size() - 1}) == std::vector<double>{1.0});
    CHECK(weights_of<float>(p, {0}) == std::vector<double>{1.0});

    const std::size_t n = (p.size() + 1) / 2;
    auto draws = some(p.size(), n);
    const auto forwards = estimate(p, given.f, given.u, draws, {});
    std::reverse(draws.begin(), draws.end());
    CHECK(worst(estimate(p, given.f, given.u, draws, {}), forwards) <= 1e-13);
    std::swap(draws[0], draws[n / 2]);
    CHECK(worst(estimate(p, given.f, given.u, draws, {}), forwards) <= 1e-13);
  }
}

TEST_CASE("sampling: renormalised weights and their gradient; a mean has none") {
  auto z = test::normals<double>(shape<1>{9}, 8);
  const std::vector<std::size_t> draws{3, 8, 1, 0};
  const numbers_of given(9, 3);
  const auto p = [&] {
    auto own = test::elements(z);
    double mass = 0;
    for (double& each : own) mass += each = std::exp(each);
    for (double& each : own) each /= mass;
    return own;
  };
  const auto value = [&] {
    const auto made = estimate(p(), given.f, given.u, draws, {draw_estimator::renormalised});
    double sum = 0;
    for (std::size_t j = 0; j < given.u.size(); ++j) sum += given.u[j] * made.output[j];
    return sum;
  };
  const auto got = estimate(p(), given.f, given.u, draws, {draw_estimator::renormalised});
  CHECK(test::relative_error(got.dlogits, test::central_differences(z.view(), value)) <= 1e-8);
  CHECK(estimate(p(), given.f, given.u, draws, {draw_estimator::mean}).dlogits == std::vector<double>(9));
  CHECK(weights_of<double>(p(), draws, {draw_estimator::mean}) == std::vector<double>(4, 0.25));
}

TEST_CASE("sampling: -log u -> right to a few units in the last place") {
  double off = 0;
  const auto check = [&](double u) {
    const long double want = -std::log(static_cast<long double>(u));
    off = std::max(off, static_cast<double>(std::abs(exponential_of(u) - want) / want));
  };
  const random_stream stream(1, 2, 3);
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const philox_block b = stream.bits(i, 0);
    check(open_uniform(b.word[0], b.word[1]));
    check(open_uniform(b.word[0] >> (i % 32), b.word[1]));
    check(1 - 0x1p-53 - static_cast<double>(b.word[0] >> (i % 32)) * 0x1p-33);
  }
  for (const double u :
       {0x1p-53, 0.5, 0.71, std::nextafter(0.71, 0), std::nextafter(0.71, 1), 1 - 0x1p-53, 1 - 0x1p-52})
    check(u);
  CHECK(off <= 4e-16);
  CHECK(open_uniform(0, 0) == 0x1p-53);
  CHECK(open_uniform(0xFFFFFFFFu, 0xFFFFFFFFu) == 1 - 0x1p-53);
}
