// labels: emulated
#include <support/cases_on_card.hpp>

#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/selection/draws_cpu.hpp>

#include <support/backends.hpp>
#include <support/floats.hpp>

#include <sampling/sampling_cases.hpp>

using namespace milkit;

// Draws on the CPU and on the emulated card: the same items and counts, bit by bit, and the same weights but for
// rounding.
namespace {

using sampling::drawing;

template <class T>
constexpr double bound = sizeof(T) == 4 ? 2e-6 : 1e-12;

/// Rows of a softmax; peaked where `scale` is large.
template <class T>
tensor<T, 2> probabilities(std::int64_t rows, std::int64_t items, double scale) {
  tensor<T, 2> p(shape<2>{rows, items});
  const auto logits = test::normals<double>(p.shape(), static_cast<std::uint64_t>(rows * 1000 + items), scale);
  for (std::int64_t r = 0; r < rows; ++r) {
    double mass = 0;
    for (std::int64_t i = 0; i < items; ++i) mass += std::exp(logits.view()(r, i));
    for (std::int64_t i = 0; i < items; ++i) p.view()(r, i) = static_cast<T>(std::exp(logits.view()(r, i)) / mass);
  }
  return p;
}

/// What a sampler draws, and all that follows, in memory of the host.
template <class T>
struct outcome {
  std::vector<double> offsets, items, counts, rounded;
};

template <class T, class Backend, class Sampler>
outcome<T> run(Backend& b, const Sampler& by, matrix_view<const T, typename Backend::space> p, bool pick, drawing how) {
  using space = typename Backend::space;
  const auto scope = b.workspace.scope();
  const std::int64_t all = p.rows(), some = pick ? (all + 1) / 2 : all, items = p.cols(), width = 3;
  std::vector<std::int64_t> rows, numbers, draws;
  for (std::int64_t s = 0; s < some; ++s) {
    rows.push_back(2 * s);
    numbers.push_back(7 * s + 1);
    draws.push_back(s == 0 ? 1 + items / 3 : s == 1 ? items : 1);
  }
  const auto list = [&](const std::vector<std::int64_t>& v) {
    return vector_view<const std::int64_t>(v.data(), {some});
  };
  sampling::distributions<T, space> of{p};
  if (pick) of.rows = list(rows), of.numbers = list(numbers);
  const auto made = by.draw(b, of, list(draws), how, random_stream(3, 4, 5));
  const std::int64_t count = made.offsets(some);
  const auto fill = [&](auto to, std::uint64_t seed) {
    const auto values = test::normals<T>(to.shape(), seed);
    if constexpr (is_cpu<Backend>) std::copy_n(values.data(), values.size(), to.data());
    else copy(b, values.view(), to);
    return to;
  };
  const auto table = [&](std::int64_t r, std::int64_t c, std::uint64_t seed) {
    return fill(b.workspace.template allocate<T>(shape<2>{r, c}), seed);
  };
  const auto f = table(count, width, 1), df = table(count, width, 2), out = table(some, width, 3),
             dout = table(some, width, 4);
  const auto dlogits = table(all, items, 5), q = table(all, items, 6);
  const auto a = fill(b.workspace.template allocate<T>(count), 7);
  ops::expectation(b, made.list, made.weights, f, out);
  ops::expectation_backward(b, made.list, made.backward, f, dout, a, df);
  const auto d = sampling::log_gradient(b, by, of, made, a);
  if (items > 1) {
    ops::complement(b, p, q);
    ops::complement_log_gradient(b, p, q, made.list, d);
  }
  ops::add_logit_gradient(b, p, made.list, d, dlogits);
  outcome<T> got{test::elements(made.offsets), {}, {}, {}};
  for (std::int64_t k = 0; k < count; ++k) {
    got.items.push_back(made.items(k));
    got.counts.push_back(static_cast<double>(made.counts(k)));
  }
  const auto keep = [&](auto v) {
    tensor<T, 1> host(shape<1>{v.size()});
    if constexpr (is_cpu<Backend>) std::copy_n(v.data(), v.size(), host.data());
    else copy(b, vector_view<const T, space>(v.data(), {v.size()}), host.view());
    const auto values = test::elements(host);
    got.rounded.insert(got.rounded.end(), values.begin(), values.end());
  };
  keep(made.weights), keep(made.backward), keep(f), keep(df), keep(out), keep(a), keep(d), keep(dlogits), keep(q);
  return got;
}

template <class T, class Sampler>
void same_on_both(const Sampler& by, const tensor<T, 2>& p, bool pick, drawing how = drawing::random) {
  cpu host{.threads = 2};
  const auto want = run<T>(host, by, p.view(), pick, how);
  milkit::cuda gpu;
  const auto device = p.template to<device_space>();
  std::vector<double> first;
  for (const std::uint64_t seed : {0u, 1u, 5u})
    test::with_order(seed, [&] {
      const auto got = run<T>(gpu, by, device.view(), pick, how);
      CHECK(got.offsets == want.offsets);
      CHECK(got.items == want.items);
      CHECK(got.counts == want.counts);
      CHECK(test::relative_error(got.rounded, want.rounded) <= bound<T>);
      if (seed == 0) first = got.rounded;
      CHECK(got.rounded == first);
    });
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: samplers draw as on the CPU, with weights and gradients", T, MILKIT_FLOATS) {
  for (const std::int64_t items : {1, 31, 32, 33, 255, 257, 1000})
    for (const std::int64_t rows : {1, 3, 5}) {
      if (items > 100 && rows == 5) continue;
      CAPTURE(items);
      CAPTURE(rows);
      const auto p = probabilities<T>(rows, items, rows == 1 ? 1.0 : 4.0);
      for (const bool pick : {false, true}) {
        same_on_both<T>(sampling::without_replacement{}, p, pick);
        same_on_both<T>(sampling::with_replacement{}, p, pick);
        same_on_both<T>(sampling::stratified{}, p, pick);
      }
      same_on_both<T>(sampling::uniform{}, p, true);
      same_on_both<T>(sampling::top_n{}, p, false);
      same_on_both<T>(sampling::exact{}, p, true);
    }
}

TEST_CASE_TEMPLATE("cuda: every form of weights and gradients, and what is most likely", T, MILKIT_FLOATS) {
  using enum ops::draw_estimator;
  const auto p = probabilities<T>(3, 45, 2.0);
  for (const auto form : {unordered, ordered, score, official_ats, official_zoom_in, renormalised, mean})
    for (const auto how : {drawing::random, drawing::most_likely}) {
      CAPTURE(static_cast<int>(form));
      same_on_both<T>(sampling::without_replacement{form}, p, true, how);
      if (form == ordered || form == score) same_on_both<T>(sampling::without_replacement{form, true}, p, false, how);
    }
  same_on_both<T>(sampling::with_replacement{}, p, true, drawing::most_likely);
}

TEST_CASE_TEMPLATE("cuda: equal, peaked and missing probabilities are drawn as on the CPU", T, MILKIT_FLOATS) {
  tensor<T, 2> p(shape<2>{3, 64});
  for (std::int64_t i = 0; i < 64; ++i) {
    p.view()(0, i) = T(1) / T(64);
    p.view()(1, i) = i == 40 ? T(1) : T(0);
    p.view()(2, i) = i % 3 == 0 ? T(0) : i < 10 ? T(1e-30) : T(1) / T(36);
  }
  for (const auto how : {drawing::random, drawing::most_likely}) {
    same_on_both<T>(sampling::without_replacement{}, p, false, how);
    same_on_both<T>(sampling::with_replacement{}, p, false, how);
  }
}

TEST_CASE_TEMPLATE("cuda: NaN is drawn first, with the weight NaN", T, MILKIT_FLOATS) {
  const auto p = probabilities<T>(1, 300, 1.0);
  auto broken = p.clone();
  broken.data()[270] = std::numeric_limits<T>::quiet_NaN();
  cpu host;
  milkit::cuda gpu;
  const auto device = broken.template to<device_space>();
  const std::int64_t n = 4;
  const vector_view<const std::int64_t> draws(&n, {1});
  const auto check = [&](auto& b, matrix_view<const T, typename std::remove_reference_t<decltype(b)>::space> view) {
    using space = typename std::remove_reference_t<decltype(b)>::space;
    for (const auto how : {drawing::random, drawing::most_likely}) {
      const auto scope = b.workspace.scope();
      const auto alone =
          sampling::without_replacement{}.draw(b, sampling::distributions<T, space>{view}, draws, how, {});
      CHECK(alone.items(0) == 270);
      const auto again = sampling::with_replacement{}.draw(b, sampling::distributions<T, space>{view}, draws, how, {});
      CHECK(again.offsets(1) == 1);
      CHECK(again.items(0) == 270);
      CHECK(again.counts(0) == 4);
      for (const auto& made : {alone, again})
        for (std::int64_t k = 0; k < made.offsets(1); ++k) CHECK(std::isnan(to_host(b, made.weights)(k)));
    }
  };
  check(host, broken.view());
  check(gpu, device.view());
}
