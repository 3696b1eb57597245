// Samplers: a step of one stage of attention sampling, which draws, weighs, sums 32 features a draw, and takes the
// gradient back to the logits. One row of tiles with replacement, rows of positions without.
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/selection/draws_cpu.hpp>
#include <milkit/sampling/with_replacement.hpp>
#include <milkit/sampling/without_replacement.hpp>

#include <reference/draws.hpp>

#include "measure.hpp"

namespace {

using namespace milkit;

constexpr int threads = 2;
constexpr std::int64_t width = 32;

template <class Sampler>
struct sampling_case {
  cpu backend{.threads = threads};
  Sampler by;
  std::int64_t rows, items, n;
  tensor<float, 2> p, dlogits, features, upstream, output, df;
  std::vector<std::int64_t> draws;
  random_stream noise = random_stream(1, 2, 3);
  sampling::drawn<float> made;

  sampling_case(const Sampler& by_, std::int64_t rows_, std::int64_t items_, std::int64_t n_)
      : by(by_),
        rows(rows_),
        items(items_),
        n(n_),
        p({rows, items}),
        dlogits({rows, items}),
        features({rows * n, width}),
        upstream({rows, width}),
        output({rows, width}),
        df({rows * n, width}),
        draws(static_cast<std::size_t>(rows), n) {
    const random_stream stream(4, 5, 6);
    const auto fill = [&](tensor<float, 2>& t, std::uint64_t draw) {
      for (std::int64_t i = 0; i < t.size(); ++i)
        t.data()[i] = stream.normal<float>(static_cast<std::uint64_t>(i), draw);
    };
    fill(features, 1), fill(upstream, 2);
    for (std::int64_t r = 0; r < rows; ++r) {
      double mass = 0;
      const auto value = [&](std::int64_t i) {
        return std::exp(2 * stream.normal<double>(static_cast<std::uint64_t>(r * items + i), 0));
      };
      for (std::int64_t i = 0; i < items; ++i) mass += value(i);
      for (std::int64_t i = 0; i < items; ++i) p.view()(r, i) = static_cast<float>(value(i) / mass);
    }
  }

  void step() {
    const sampling::distributions<float> of{p.view()};
    made =
        by.draw(backend, of, vector_view<const std::int64_t>(draws.data(), {rows}), sampling::drawing::random, noise);
    const std::int64_t count = made.weights.extent(0);
    const auto f = features.view().rows(0, count);
    const auto a = backend.workspace.allocate<float>(count);
    ops::expectation(backend, made.list, made.weights, f, output.view());
    ops::expectation_backward(backend, made.list, made.backward, f, upstream.view(), a, df.view().rows(0, count));
    ops::add_logit_gradient(backend, p.view(), made.list, sampling::log_gradient(backend, by, of, made, a),
                            dlogits.view());
  }
};

/// Items, weights, output and gradient of the first step, against plain loops.
template <class Sampler>
bool right(sampling_case<Sampler>& c) {
  const auto scope = c.backend.workspace.scope();
  ops::fill(c.backend, c.dlogits.view(), 0.0f);
  c.step();
  for (std::int64_t r = 0; r < c.rows; ++r) {
    const auto p = test::elements(c.p.view().rows(r, 1));
    std::vector<std::size_t> items;
    std::vector<double> weights;
    const auto uniform = [&](const random_stream& of, std::int64_t i) {
      const philox_block b = of.bits(static_cast<std::uint64_t>(i / 2), 0);
      return open_uniform(b.word[i % 2 * 2], b.word[i % 2 * 2 + 1]);
    };
    if constexpr (std::is_same_v<Sampler, sampling::with_replacement>) {
      std::vector<double> counts(p.size()), sums(p.size());
      double sum = 0;
      for (std::size_t i = 0; i < p.size(); ++i) sums[i] = sum += p[i];
      for (std::int64_t k = 0; k < c.n; ++k)
        ++counts[static_cast<std::size_t>(
            std::upper_bound(sums.begin(), sums.end(), sum * uniform(c.noise.child(static_cast<std::uint64_t>(r)), k)) -
            sums.begin())];
      for (std::size_t i = 0; i < p.size(); ++i)
        if (counts[i] > 0) items.push_back(i), weights.push_back(counts[i] / static_cast<double>(c.n));
    } else {
      std::vector<std::pair<double, std::size_t>> times;
      for (std::size_t i = 0; i < p.size(); ++i)
        times.emplace_back(-std::log(uniform(c.noise, r * c.items + static_cast<std::int64_t>(i))) / p[i], i);
      std::partial_sort(times.begin(), times.begin() + c.n, times.end());
      for (std::int64_t k = 0; k < c.n; ++k) items.push_back(times[static_cast<std::size_t>(k)].second);
      if (c.by.estimator == ops::draw_estimator::unordered) {
        weights = c.n <= 14 ? reference::murthy_by_subsets(p, items) : reference::murthy_by_integrals(p, items);
      } else {
        std::vector<std::vector<double>> unit(p.size(), std::vector<double>(1));
        const std::vector<double> w(items.size(), 1 / static_cast<double>(c.n));
        const auto ordered = reference::ordered_expectation(p, unit, {1.0}, items, w, reference::attention_form::raj);
        for (const std::size_t i : items) weights.push_back(ordered.dfeatures[i][0]);
      }
    }
    const std::int64_t first = c.made.offsets(r);
    if (c.made.offsets(r + 1) - first != static_cast<std::int64_t>(items.size())) return false;
    std::vector<double> output(width), dlogits(p.size());
    double total = 0;
    for (std::size_t k = 0; k < items.size(); ++k) {
      const std::int64_t at = first + static_cast<std::int64_t>(k);
      if (c.made.items(at) != static_cast<std::int32_t>(items[k])) return false;
      if (std::abs(static_cast<double>(c.made.weights(at)) - weights[k]) > 1e-6) return false;
      double d = 0;
      for (std::int64_t j = 0; j < width; ++j) {
        output[static_cast<std::size_t>(j)] += weights[k] * static_cast<double>(c.features.view()(at, j));
        d += weights[k] * static_cast<double>(c.features.view()(at, j)) * static_cast<double>(c.upstream.view()(r, j));
      }
      dlogits[items[k]] += d;
      total += d;
    }
    for (std::size_t i = 0; i < p.size(); ++i) dlogits[i] -= p[i] * total;
    if (test::relative_error(c.output.view().rows(r, 1), output) > 1e-5) return false;
    if (test::relative_error(c.dlogits.view().rows(r, 1), dlogits) > 1e-5) return false;
  }
  return true;
}

template <class Sampler>
void step(benchmark::State& state, const Sampler& by) {
  sampling_case c(by, state.range(0), state.range(1), state.range(2));
  if (!right(c)) return state.SkipWithError("differs from plain loops");
  const auto numbers = static_cast<double>(c.rows * c.items);
  // Bytes: p is read to draw, for the mass that is left and for the gradient, which is read and written. No FLOPs are
  // counted: a draw is integers, and a logarithm and a division an item.
  bench::measure(state, threads, 0, numbers * sizeof(float) * 5, [&] {
    const auto scope = c.backend.workspace.scope();
    c.step();
  });
  state.counters["items/s"] = benchmark::Counter(numbers, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["workspace MB"] = static_cast<double>(c.backend.workspace.peak_bytes()) / 1e6;
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "items", "draws"})->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
}
void inner_shapes(benchmark::internal::Benchmark* b) {
  shapes(b);
  for (const std::int64_t items : {2500, 10'000}) b->Args({50, items, 2})->Args({1, items, 100});
}
BENCHMARK_CAPTURE(step, with_replacement, sampling::with_replacement{})
    ->Name("with_replacement")
    ->Apply(shapes)
    ->Args({1, 10'000, 100});
BENCHMARK_CAPTURE(step, without_replacement, sampling::without_replacement{})
    ->Name("without_replacement")
    ->Apply(inner_shapes);
BENCHMARK_CAPTURE(step, ordered, sampling::without_replacement{ops::draw_estimator::ordered})
    ->Name("ordered")
    ->Apply(inner_shapes);

}  // namespace

BENCHMARK_MAIN();
