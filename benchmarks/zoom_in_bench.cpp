// The Zoom-In network at the setting for colon tissue: a training step on five images of 500 x 500 pixels in memory, three of them
// positive with a contrastive branch, N = 10 sub-tiles of 27 x 27 a branch; forward, all gradients, Adam.
#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/zoom_in/attention.hpp>
#include <milkit/models/zoom_in/features.hpp>
#include <milkit/models/zoom_in/zoom_in.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/ops/images/batch_norm2d_cpu.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/pool2d_cpu.hpp>
#include <milkit/ops/images/resample2d_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/selection/draws_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/distribution_loss_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>
#include <milkit/train/optimizer.hpp>

#include "measure.hpp"

namespace {

using namespace milkit;

using network =
    models::zoom_in<models::tile_attention<>, models::cell_attention<>, models::lenet_features<>, nn::linear<32, 2>>;

constexpr std::int64_t images = 5, side = 500;

template <class T>
struct training {
  cpu backend{.threads = 2};
  network model;
  tensor<T, 4> pixels{{images, 3, side, side}};
  std::int64_t steps = 0;
  parameters<network, T> weights = initial_parameters<T>(network{}, {.seed = 1});
  parameters<network, T> gradient = weights.zeros(), first = weights.zeros(), second = weights.zeros();

  training() {
    const auto numbers = bench::uniform_tensor<float>(pixels.shape(), 1);
    for (std::int64_t i = 0; i < pixels.size(); ++i) pixels.data()[i] = static_cast<T>((numbers.data()[i] + 1) / 2);
    model.options.contrastive_from = 0;
  }

  double step() {
    ops::fill(backend, gradient.flat(), T(0));
    double loss = 0;
    for (std::int64_t i = 0; i < images; ++i) {
      const std::int64_t label = (i + 1) % 2;
      const sampling::planar_image<T> image{{pixels.view().row(i), {3, side, side}}};
      loss += model.train_bags(
          backend, std::as_const(weights).flat(), image, vector_view<const std::int64_t>(&label, {1}),
          loss::cross_entropy{}, 1.0 / images, gradient.flat(),
          {.training = true, .random = random_stream(1, static_cast<std::uint64_t>(images * steps + i), 0)});
    }
    train::adam{}.step(backend, weights.flat(), std::as_const(gradient).flat(), {first.flat(), second.flat()},
                       {.step = ++steps, .learning_rate = 1e-3});
    return loss / images;
  }
};

/// The first step's gradient in float against double, where the same tiles and cells are drawn.
bool checked() {
  static const bool right = [] {
    training<float> own;
    training<double> other;
    for (std::int64_t i = 0; i < own.pixels.size(); ++i)
      other.pixels.data()[i] = static_cast<double>(own.pixels.data()[i]);
    for (std::int64_t i = 0; i < own.weights.flat().extent(0); ++i)
      other.weights.flat()(i) = static_cast<double>(std::as_const(own.weights).flat()(i));
    const double got = own.step(), want = other.step();
    return test::close(got, want, {.relative = 1e-4}) &&
           test::relative_error(own.gradient.flat(), test::elements(other.gradient.flat())) <= 1e-3;
  }();
  return right;
}

/// Multiplications and additions of the sub-tiles' features: 47 MFLOP a sub-tile forward, twice as many backward but for the images'.
double flops() {
  constexpr double pixels = 27 * 27, first = 2 * pixels * 32 * 3 * 49, other = 3 * 2 * pixels * 32 * 32 * 9;
  return (5 + 3) * 10 * (2 * first + 3 * other);
}

void training_step(benchmark::State& state) {
  if (!checked()) return state.SkipWithError("differs from the same step in double");
  training<float> c;
  bench::measure(state, c.backend.threads, flops(), static_cast<double>(c.pixels.size()) * sizeof(float),
                 [&] { c.step(); });
  state.counters["workspace MB"] = static_cast<double>(c.backend.peak_bytes()) * 1e-6;
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::RegisterBenchmark("training_step/colon", training_step)
      ->MeasureProcessCPUTime()
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
