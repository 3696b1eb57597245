// Convolution at the shapes of the colon network (Ilse et al. 2018) on one bag of 200 patches: each layer, the encoder,
// and the whole training step. benchmarks/peers/colon_network.py runs the same beside PyTorch, in turns.
#include <cmath>
#include <string>

#include <benchmark/benchmark.h>

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/bag_classifier.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/conv2d.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/max_pool2d.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/activation_cpu.hpp>
#include <milkit/ops/conv2d_cpu.hpp>
#include <milkit/ops/cross_entropy_cpu.hpp>
#include <milkit/ops/dropout_cpu.hpp>
#include <milkit/ops/fill_cpu.hpp>
#include <milkit/ops/gate_cpu.hpp>
#include <milkit/ops/linear_cpu.hpp>
#include <milkit/ops/matmul_onednn.hpp>
#include <milkit/ops/optimizer_step_cpu.hpp>
#include <milkit/ops/pool2d_cpu.hpp>
#include <milkit/ops/segment_pool_cpu.hpp>
#include <milkit/ops/softmax_cpu.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/train/optimizer.hpp>

#include <reference/images.hpp>
#include <support/close.hpp>
#include <support/images.hpp>

namespace {

using namespace milkit;

constexpr std::int64_t patches = 200;
constexpr shape<4> bag_shape{patches, 3, 27, 27};

using encoder =
    nn::sequential<nn::conv2d<3, 36, 4>, nn::relu, nn::max_pool2d, nn::conv2d<36, 48, 3>, nn::relu, nn::max_pool2d,
                   nn::flatten, nn::linear<1200, 512>, nn::relu, nn::linear<512, 512>, nn::relu>;
using network = models::bag_classifier<encoder, pooling::gated_attention<512, 128>, nn::linear<512, 2>>;

template <class T>
using images = view<const T, 4>;

cpu backend_for(const benchmark::State& state) {
  return cpu{.threads = 2, .gemm = state.range(0) ? onednn_gemm : gemm_library{}};
}

void count(benchmark::State& state, double flops, double bytes) {
  const auto steps = static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(flops * steps, benchmark::Counter::kIsRate);
  state.counters["bytes/s"] = benchmark::Counter(bytes * steps, benchmark::Counter::kIsRate);
}

/// One pass over a layer of the encoder, checked on its first two images against plain loops.
template <class Layer>
struct layer_case {
  Layer layer;
  cpu backend;
  parameters<Layer, float> weights = initial_parameters<float>(Layer{}, {.seed = 1}), gradient = weights.zeros();
  tensor<float, 4> x, y, dy, dx;
  typename Layer::template saved<images<float>> kept = {};

  layer_case(cpu b, const shape<4>& s)
      : backend(std::move(b)),
        x(test::normal_tensor<float>(s, 1)),
        y(layer.output_shape(s)),
        dy(test::normal_tensor<float>(y.shape(), 2)),
        dx(s) {}

  void forward() {
    layer.forward(backend, vector_view<const float>(weights.flat()), images<float>(x.view()), y.view(), kept, {});
  }
  void backward(bool wants_dx) {
    layer.backward(backend, vector_view<const float>(weights.flat()), kept, dy.view(),
                   wants_dx ? dx.view() : view<float, 4>(), gradient.flat(), {});
  }
};

template <std::int64_t In, std::int64_t Out, std::int64_t Kernel>
bool right(layer_case<nn::conv2d<In, Out, Kernel>>& c) {
  const auto x = test::plain(c.x.view().rows(0, 2)), dy = test::plain(c.dy.view().rows(0, 2));
  const auto weight = test::plain(view<const float, 4>(c.weights["weight"].data(), shape<4>{Out, In, Kernel, Kernel}));
  const auto y = reference::conv2d(x, weight, test::elements(c.weights["bias"]), {});
  const auto want = reference::conv2d_backward(x, weight, dy, {});
  const tensor<float, 4> all_dy = c.dy.clone();
  std::fill_n(c.dy.view().row(2), c.dy.size() - 2 * c.dy.view().row_size(),
              0.0f);  // so that two images make the gradient
  c.forward();
  c.backward(true);
  const bool same = test::relative_error(c.y.view().rows(0, 2), y.values) <= 1e-5 &&
                    test::relative_error(c.dx.view().rows(0, 2), want.x.values) <= 1e-5 &&
                    test::relative_error(c.gradient["weight"], want.weight.values) <= 1e-5 &&
                    test::relative_error(c.gradient["bias"], want.bias) <= 1e-5;
  std::copy_n(all_dy.data(), all_dy.size(), c.dy.data());
  return same;
}
bool right(layer_case<nn::max_pool2d>& c) {
  c.forward();
  c.backward(true);
  const auto want =
      reference::max_pool2d(test::plain(c.x.view().rows(0, 2)), test::plain(c.dy.view().rows(0, 2)), 2, 2, 0);
  return test::relative_error(c.y.view().rows(0, 2), want.y.values) == 0 &&
         test::relative_error(c.dx.view().rows(0, 2), want.dx.values) == 0;
}

template <std::int64_t In, std::int64_t Out, std::int64_t Kernel>
double flops_of(const layer_case<nn::conv2d<In, Out, Kernel>>& c) {
  return 2.0 * static_cast<double>(c.y.size() * In * Kernel * Kernel);
}
double flops_of(const layer_case<nn::max_pool2d>& c) { return 3.0 * static_cast<double>(c.y.size()); }

template <class Layer>
void forward(benchmark::State& state, const shape<4>& s) {
  layer_case<Layer> c(backend_for(state), s);
  const auto scope = c.backend.workspace.scope();
  if (!right(c)) return state.SkipWithError("differs from plain loops");
  for (auto _ : state) {
    const auto inner = c.backend.workspace.scope();
    c.forward();
  }
  count(state, flops_of(c), static_cast<double>(4 * (c.x.size() + c.y.size())));
}

template <class Layer>
void backward(benchmark::State& state, const shape<4>& s, bool wants_dx) {
  layer_case<Layer> c(backend_for(state), s);
  const auto scope = c.backend.workspace.scope();
  if (!right(c)) return state.SkipWithError("differs from plain loops");
  for (auto _ : state) c.backward(wants_dx);
  count(state, flops_of(c) * (wants_dx ? 2 : 1),
        static_cast<double>(4 * ((wants_dx ? 2 : 1) * c.x.size() + c.y.size())));
}

/// sum(encoder(x) dy), and its gradient with respect to the weights.
template <class T>
double encode(cpu& backend, const parameters<encoder, T>& weights, images<T> x, view<const T, 2> dy, view<T, 2> y,
              vector_view<T> gradient) {
  const auto scope = backend.workspace.scope();
  typename encoder::template saved<images<T>> kept;
  const pass training{.training = true};
  encoder{}.forward(backend, weights.flat(), x, y, kept, training);
  double sum = 0;
  if (gradient.absent()) {
    for (std::int64_t i = 0; i < y.size(); ++i) sum += static_cast<double>(y.data()[i] * dy.data()[i]);
    return sum;
  }
  const auto upstream = backend.workspace.template allocate<T>(dy.shape());
  ops::copy_rows(backend, dy, upstream);
  ops::fill(backend, gradient, T(0));
  encoder{}.backward(backend, weights.flat(), kept, upstream, view<T, 4>(), gradient, training);
  return sum;
}

/// The float gradient along one direction against the central difference in double, on four patches.
bool encoder_right(cpu& backend) {
  static int checked[2] = {-1, -1};
  int& known = checked[backend.gemm.single != nullptr];
  if (known >= 0) return known == 1;
  const auto weights = initial_parameters<float>(encoder{}, {.seed = 1});
  const auto x = test::normal_tensor<float>(bag_shape.with_rows(4), 1);
  const auto dy = test::normal_tensor<float>(shape<2>{4, 512}, 2);
  tensor<float, 2> y(dy.shape());
  auto gradient = weights.zeros();
  encode<float>(backend, weights, x.view(), dy.view(), y.view(), gradient.flat());

  auto exact = initial_parameters<double>(encoder{}, {.seed = 1});
  tensor<double, 4> x_exact(x.shape());
  tensor<double, 2> dy_exact(dy.shape()), y_exact(dy.shape());
  std::copy_n(x.data(), x.size(), x_exact.data());
  std::copy_n(dy.data(), dy.size(), dy_exact.data());
  for (std::int64_t i = 0; i < exact.flat().extent(0); ++i) exact.flat()(i) = static_cast<double>(weights.flat()(i));
  const double h = 1e-6;
  double along = 0, losses[2];
  for (std::int64_t i = 0; i < exact.flat().extent(0); ++i)
    along += static_cast<double>(gradient.flat()(i) * gradient.flat()(i));
  for (const int side : {0, 1}) {
    for (std::int64_t i = 0; i < exact.flat().extent(0); ++i)
      exact.flat()(i) = static_cast<double>(weights.flat()(i)) +
                        (side ? h : -h) * static_cast<double>(gradient.flat()(i)) / std::sqrt(along);
    losses[side] = encode<double>(backend, exact, x_exact.view(), dy_exact.view(), y_exact.view(), {});
  }
  known = test::close((losses[1] - losses[0]) / (2 * h), std::sqrt(along), {.relative = 1e-4});
  return known == 1;
}

constexpr double encoder_macs = 576.0 * 36 * 48 + 100.0 * 48 * 324 + 1200.0 * 512 + 512.0 * 512;
constexpr double step_flops =
    2 * patches * (3 * encoder_macs - 576.0 * 36 * 48);  // the patches' own gradient is not wanted

void encoder_step(benchmark::State& state) {
  cpu backend = backend_for(state);
  if (!encoder_right(backend)) return state.SkipWithError("differs from the central difference");
  const auto weights = initial_parameters<float>(encoder{}, {.seed = 1});
  const auto x = test::normal_tensor<float>(bag_shape, 1);
  const auto dy = test::normal_tensor<float>(shape<2>{patches, 512}, 2);
  tensor<float, 2> y(dy.shape());
  auto gradient = weights.zeros();
  const auto once = [&] { encode<float>(backend, weights, x.view(), dy.view(), y.view(), gradient.flat()); };
  for (int i = 0; i < 3; ++i) once();  // the first steps make the workspace and touch its pages
  for (auto _ : state) once();
  count(state, step_flops, static_cast<double>(weights.bytes()) * 2);
}

void training_step(benchmark::State& state) {
  cpu backend = backend_for(state);
  if (!encoder_right(backend)) return state.SkipWithError("differs from the central difference");
  network model;
  model.embedding.chunk_rows = state.range(1);
  auto weights = initial_parameters<float>(model, {.seed = 1});
  auto gradient = weights.zeros(), first = weights.zeros(), second = weights.zeros();
  const auto x = test::normal_tensor<float>(bag_shape, 1);
  const std::int64_t label = 1;
  const loss::cross_entropy loss;
  const train::adam optimizer{.learning_rate = 1e-4};
  std::int64_t step = 0;
  const auto once = [&] {
    ops::fill(backend, gradient.flat(), 0.0f);
    model.train_bags(backend, vector_view<const float>(weights.flat()), bags_of(images<float>(x.view())),
                     vector_view<const std::int64_t>(&label, {1}), loss, 1.0, gradient.flat(), pass{.training = true});
    optimizer.step(backend, weights.flat(), gradient.flat(), {first.flat(), second.flat()},
                   {.step = ++step, .learning_rate = optimizer.learning_rate});
  };
  for (int i = 0; i < 3; ++i) once();
  for (auto _ : state) once();
  count(state, step_flops + 2.0 * patches * 3 * 512 * 256, static_cast<double>(weights.bytes()) * 6);
}

template <class Layer>
void add_layer(const std::string& name, const shape<4>& s, bool wants_dx) {
  const auto shown = [](benchmark::internal::Benchmark* b) {
    b->ArgName("onednn")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);
  };
  shown(benchmark::RegisterBenchmark((name + "/forward").c_str(),
                                     [=](benchmark::State& state) { forward<Layer>(state, s); }));
  shown(benchmark::RegisterBenchmark((name + "/backward").c_str(),
                                     [=](benchmark::State& state) { backward<Layer>(state, s, wants_dx); }));
}

BENCHMARK(encoder_step)
    ->ArgName("onednn")
    ->Arg(0)
    ->Arg(1)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(training_step)
    ->ArgNames({"onednn", "chunk"})
    ->ArgsProduct({{0, 1}, {0, 100}})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace

int main(int argc, char** argv) {
  add_layer<nn::conv2d<3, 36, 4>>("conv1", bag_shape, false);
  add_layer<nn::max_pool2d>("pool1", {patches, 36, 24, 24}, true);
  add_layer<nn::conv2d<36, 48, 3>>("conv2", {patches, 36, 12, 12}, true);
  add_layer<nn::max_pool2d>("pool2", {patches, 48, 10, 10}, true);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
