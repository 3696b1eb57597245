// Perturbed top-K: the selection, its gradient, and both, at the sizes of the paper and beyond, from 100 draws.
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/selection/topk_cpu.hpp>
#include <milkit/topk/perturbed.hpp>

#include <reference/topk.hpp>

#include "measure.hpp"

namespace {

using namespace milkit;

constexpr int threads = 2;
constexpr std::int64_t samples = 100;
constexpr double sigma = 0.002;
// a number: forward quotient plus noise and a comparison; backward product and sum. The integers of the noise are not
// counted.
constexpr double forward_flops = 2, backward_flops = 2;

struct topk_case {
  cpu backend{.threads = threads};
  tensor<float, 1> scores, dscores;
  tensor<float, 2> upstream;
  topk::perturbed op;
  pass training{.training = true, .random = random_stream(1, 2, 3)};
  ops::selection<float> selected;
  vector_view<float> dweights;

  topk_case(std::int64_t n, std::int64_t k, std::int64_t draws = samples)
      : scores(shape<1>{n}), dscores(shape<1>{n}), op{.k = k, .samples = draws, .sigma = sigma} {
    const random_stream stream(4, 5, 6);
    double mass = 0;
    for (std::int64_t i = 0; i < n; ++i) mass += std::exp(stream.normal<double>(static_cast<std::uint64_t>(i), 0));
    for (std::int64_t i = 0; i < n; ++i)  // attention weights
      scores.data()[i] = static_cast<float>(std::exp(stream.normal<double>(static_cast<std::uint64_t>(i), 0)) / mass);
  }

  void forward() { selected = op.select(backend, std::as_const(scores).view(), training); }
  void allocate_gradient() {
    dweights = backend.workspace.allocate<float>(selected.weights.extent(0));
    for (std::int64_t i = 0; i < dweights.extent(0); ++i) dweights(i) = static_cast<float>((i * 7919) % 1009) / 500 - 1;
  }
  void backward() {
    op.select_backward(backend, std::as_const(scores).view(), selected, dweights, dscores.view(), training);
  }
};

/// Every draw's instances and the gradient, against plain loops, with the arithmetic that the header states.
bool right(std::int64_t n, std::int64_t k) {
  topk_case c(n, k, n > 100'000 ? 3 : samples);
  const auto scope = c.backend.workspace.scope();
  c.forward();
  c.allocate_gradient();
  c.backward();
  const auto many = static_cast<std::size_t>(c.op.samples);
  auto z = reference::zeros(many, static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < z.values.size(); ++i) {
    const std::uint64_t draw = i / static_cast<std::uint64_t>(n), instance = i % static_cast<std::uint64_t>(n);
    z.values[i] = static_cast<float>(
        normal_unit * normal_fixed(normal_quantiles(), c.training.random.bits(instance / 4, draw).word[instance % 4]));
  }
  reference::numbers quotients;
  for (const double each : test::elements(c.scores))
    quotients.push_back(static_cast<float>(each) / static_cast<float>(sigma));
  std::vector<double> sums(many, 0.0), gradient(static_cast<std::size_t>(n), 0.0);
  for (std::size_t s = 0; s < many; ++s) {
    reference::numbers perturbed;
    for (std::size_t i = 0; i < quotients.size(); ++i) perturbed.push_back(static_cast<float>(quotients[i] + z(s, i)));
    const auto want = reference::top_k(perturbed, static_cast<std::size_t>(k));
    for (std::size_t row = 0; row < want.size(); ++row) {
      const std::int32_t place = c.selected.draws(static_cast<std::int64_t>(s), static_cast<std::int64_t>(row));
      if (c.selected.columns(place) != want[row]) return false;
      sums[s] += static_cast<double>(c.dweights(place));
    }
  }
  double total = 0;
  for (const double each : sums) total += each;
  for (std::size_t s = 0; s < many; ++s)
    for (std::size_t i = 0; i < gradient.size(); ++i)
      gradient[i] += (sums[s] - (total - sums[s]) / static_cast<double>(many - 1)) * z(s, i) /
                     (static_cast<double>(many) * static_cast<double>(static_cast<float>(sigma)));
  return test::relative_error(c.dscores, gradient) <= 1e-5;
}

enum class part { forward, backward, both };

template <part Part>
void perturbed(benchmark::State& state) {
  const std::int64_t n = state.range(0), k = state.range(1);
  if (!right(n, k)) return state.SkipWithError("differs from plain loops");
  topk_case c(n, k);
  const auto numbers = static_cast<double>(n * samples);
  const auto scope = c.backend.workspace.scope();
  c.forward();
  c.allocate_gradient();
  const double flops = numbers * (Part == part::forward    ? forward_flops
                                  : Part == part::backward ? backward_flops
                                                           : forward_flops + backward_flops);
  const double bytes = numbers * sizeof(float) * (Part == part::both ? 2 : 1);
  bench::measure(state, threads, flops, bytes, [&] {
    const auto inner = c.backend.workspace.scope();
    if (Part != part::backward) c.forward();
    if (Part != part::forward) c.backward();
  });
  state.counters["numbers/s"] =
      benchmark::Counter(numbers * (Part == part::both ? 2 : 1), benchmark::Counter::kIsIterationInvariantRate);
  // What one step takes beside scores and gradients: planned, because the case above holds a selection of its own too.
  cpu planner = c.backend.planner();
  const auto selected = c.op.select(planner, std::as_const(c.scores).view(), c.training);
  c.op.select_backward(planner, std::as_const(c.scores).view(), selected, c.dweights, c.dscores.view(), c.training);
  state.counters["workspace MB"] = static_cast<double>(planner.peak_bytes()) / 1e6;
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"instances", "k"})->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const auto& [n, k] : {std::pair{62, 12}, {217, 16}, {2473, 300}, {10'000, 300}, {1'000'000, 300}})
    b->Args({n, k});
}
BENCHMARK(perturbed<part::forward>)->Name("perturbed/forward")->Apply(shapes);
BENCHMARK(perturbed<part::backward>)->Name("perturbed/backward")->Apply(shapes);
BENCHMARK(perturbed<part::both>)->Name("perturbed/both")->Apply(shapes);

}  // namespace

BENCHMARK_MAIN();
