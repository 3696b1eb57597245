// ZoomMIL at the paper's sizes, from features in memory: a training step (forward, all gradients, Adam) and inference.
#include <map>
#include <string>

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/zoom_mil/zoom_mil.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/dropout.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/selection/topk_cpu.hpp>
#include <milkit/ops/selection/zoom_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>
#include <milkit/pooling/dual_gated_attention.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/topk/perturbed.hpp>
#include <milkit/train/optimizer.hpp>

#include "measure.hpp"

namespace {

using namespace milkit;

constexpr std::int64_t ratio = 4;
constexpr double dropout = 0.25;

template <std::int64_t D, std::int64_t Width, std::int64_t Hidden>
struct layers {
  using projection = nn::sequential<nn::linear<D, Width>, nn::relu, nn::dropout>;
  using low = models::zoom_level<projection, pooling::dual_gated_attention<Width, Hidden>, topk::perturbed>;
  using high = models::zoom_level<projection, pooling::gated_attention<Width, Hidden>>;
  using classifier = nn::linear<Width, 3>;
  using two = models::zoom_mil<classifier, low, high>;
  using three = models::zoom_mil<classifier, low, low, high>;
};
using paper = layers<1024, 512, 256>;

/// A network, its training state and a slide.
template <class Network, std::int64_t D>
struct training {
  static constexpr std::size_t levels = Network::levels;

  cpu backend;
  Network model = {};
  std::array<tensor<float, 2>, levels> features;
  pyramid<float, levels> slide;
  std::int64_t label = 1, steps = 0;
  parameters<Network, float> weights = initial_parameters<float>(Network{}, {.seed = 1});
  parameters<Network, float> gradient = weights.zeros(), first = weights.zeros(), second = weights.zeros();

  training(const gemm_library& gemm, std::int64_t instances, std::int64_t k, double rate = dropout)
      : backend{.threads = 2, .gemm = gemm} {
    std::array<std::int64_t, levels - 1> ratios;
    std::array<view<float, 2>, levels> views;
    ratios.fill(ratio);
    for (std::size_t m = 0; m < levels; ++m, instances *= ratio) {
      features[m] = bench::uniform_tensor<float>(shape<2>{instances, D}, m + 1);
      views[m] = features[m].view();
    }
    slide = pyramid_of(views, ratios);
    [&]<std::size_t... M>(std::index_sequence<M...>) { (set(std::get<M>(model.magnifications), k, rate), ...); }
    (std::make_index_sequence<levels>());
  }

  double step() {
    ops::fill(backend, gradient.flat(), 0.0f);
    const pass how{.training = true, .random = random_stream(1, static_cast<std::uint64_t>(steps), 0)};
    const double loss =
        model.train_bags(backend, std::as_const(weights).flat(), slide, vector_view<const std::int64_t>(&label, {1}),
                         loss::cross_entropy{}, 1.0, gradient.flat(), how);
    train::adam{}.step(backend, weights.flat(), std::as_const(gradient).flat(), {first.flat(), second.flat()},
                       {.step = ++steps, .learning_rate = 1e-4});
    return loss;
  }
  void infer(matrix_view<float> logits) { model.infer(backend, std::as_const(weights).flat(), slide, logits); }

 private:
  template <class Level>
  static void set(Level& level, std::int64_t k, double rate) {
    std::get<2>(level.embedding.encoder.layers).rate = rate;
    level.embedding.pooler.dropout = rate;
    if constexpr (Level::zooms) level.zoom.k = k;
  }
};

/// The gradient of a small step in float against the same in double with Eigen's products, which the tests hold against
/// the golden tensors; where K is as large as the slide, so that rounding cannot select other instances.
bool right(const gemm_library& gemm) {
  using network = layers<40, 24, 16>::three;
  training<network, 40> c(gemm, 9, 1000, 0);
  parameters<network, double> weights, gradient;
  for (std::int64_t i = 0; i < weights.flat().extent(0); ++i) weights.flat()(i) = std::as_const(c.weights).flat()(i);
  std::array<tensor<double, 2>, 3> features;
  pyramid<double, 3> slide;
  for (std::size_t m = 0; m < 3; ++m) {
    features[m] = tensor<double, 2>(c.features[m].shape());
    std::copy_n(c.features[m].data(), c.features[m].size(), features[m].data());
    slide.features[m] = features[m].view();
    if (m < 2) slide.children[m].width = ratio;
  }
  cpu backend;
  const double want =
      c.model.train_bags(backend, std::as_const(weights).flat(), slide, vector_view<const std::int64_t>(&c.label, {1}),
                         loss::cross_entropy{}, 1.0, gradient.flat(), pass{.training = true});
  const double loss = c.step();
  return test::close(loss, want, {.relative = 1e-5}) &&
         test::relative_error(c.gradient.flat(), test::elements(gradient.flat())) <= 1e-4;
}
bool checked(const gemm_library& gemm) {
  static std::map<gemm_library::gemm, bool> known;
  const auto [at, is_new] = known.try_emplace(gemm.single);
  if (is_new) at->second = right(gemm);
  return at->second;
}

/// FLOPs of the matrix products alone: projection and branches; in training twice the projection (its input gradient is
/// wanted above the lowest magnification) and three times the branches.
template <std::size_t Levels>
double flops_of(std::int64_t n, std::int64_t k, bool training) {
  double flops = 0;
  for (std::size_t m = 0; m < Levels; ++m) {
    const auto rows = static_cast<double>(m == 0 ? n : k * ratio);
    const double heads = m + 1 < Levels ? 2 : 1, projection = 2 * 1024.0 * 512, branches = heads * 2 * 512.0 * 512;
    flops += rows * (training ? (m == 0 ? 2 : 3) * projection + 3 * branches : projection + branches);
  }
  return flops;
}

template <class Network, bool Training>
void run(benchmark::State& state, const gemm_library& gemm) {
  if (!checked(gemm)) return state.SkipWithError("differs from the same step in double");
  const std::int64_t n = state.range(0), k = state.range(1);
  training<Network, 1024> c(gemm, n, k);
  tensor<float, 2> logits({1, 3});
  double bytes = 0;
  for (const auto& each : c.features) bytes += static_cast<double>(each.size()) * sizeof(float);
  bench::measure(state, c.backend.threads, flops_of<Network::levels>(n, k, Training), bytes, [&] {
    if constexpr (Training) c.step();
    else c.infer(logits.view());
  });
  state.counters["workspace MB"] = static_cast<double>(c.backend.peak_bytes()) * 1e-6;
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& [name, library] : bench::products) {
    const auto gemm = library;
    const auto add = [&](const char* title, auto body, std::int64_t n, std::int64_t k) {
      benchmark::RegisterBenchmark((std::string(title) + "/" + name).c_str(), body)
          ->ArgNames({"instances", "k"})
          ->Args({n, k})
          ->MeasureProcessCPUTime()
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    };
    add(
        "training_step/crc", [=](auto& s) { run<paper::three, true>(s, gemm); }, 217, 16);
    add(
        "training_step/camelyon16", [=](auto& s) { run<paper::two, true>(s, gemm); }, 2473, 300);
    add(
        "inference/crc", [=](auto& s) { run<paper::three, false>(s, gemm); }, 217, 16);
    add(
        "inference/camelyon16", [=](auto& s) { run<paper::two, false>(s, gemm); }, 2473, 300);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
