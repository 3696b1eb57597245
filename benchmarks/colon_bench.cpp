// Convolution at the shapes of the colon network (Ilse et al. 2018) on one bag of 200 patches: each layer, the encoder,
// and the whole training step. benchmarks/peers/colon_network.py runs the same beside PyTorch, in turns.
#include <cmath>
#include <string>

#include <benchmark/benchmark.h>

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/bag_classifier/bag_classifier.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/conv2d.hpp>
#include <milkit/nn/flatten.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/max_pool2d.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/images/pool2d_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/products/matmul_onednn.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/train/optimizer.hpp>

#include <reference/images.hpp>
#include <reference/optimizer.hpp>
#include <support/close.hpp>
#include <support/images.hpp>

#include "plain_gated_attention.hpp"

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
  saved_of<Layer, images<float>> kept = {};

  layer_case(cpu b, const shape<4>& s)
      : backend(std::move(b)),
        x(test::normals<float>(s, 1)),
        y(layer.output_shape(s)),
        dy(test::normals<float>(y.shape(), 2)),
        dx(s) {}

  void forward() { layer.forward(context{backend, weights.flat()}, images<float>(x.view()), y.view(), kept); }
  void backward(bool wants_dx) {
    layer.backward(context{backend, weights.flat(), gradient.flat()}, kept, dy.view(),
                   wants_dx ? dx.view() : view<float, 4>());
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
  const context at{backend, weights.flat(), gradient, {.training = true}};
  encoder{}.forward(at, x, y, kept);
  double sum = 0;
  if (gradient.absent()) {
    for (std::int64_t i = 0; i < y.size(); ++i) sum += static_cast<double>(y.data()[i] * dy.data()[i]);
    return sum;
  }
  const auto upstream = backend.workspace.template allocate<T>(dy.shape());
  ops::copy_rows(backend, dy, upstream);
  ops::fill(backend, gradient, T(0));
  encoder{}.backward(at, kept, upstream, view<T, 4>());
  return sum;
}

/// The float gradient along one direction against the central difference in double, on four patches.
bool encoder_right(cpu& backend) {
  static int checked[2] = {-1, -1};
  int& known = checked[backend.gemm.single != nullptr];
  if (known >= 0) return known == 1;
  const auto weights = initial_parameters<float>(encoder{}, {.seed = 1});
  const auto x = test::normals<float>(bag_shape.with_rows(4), 1);
  const auto dy = test::normals<float>(shape<2>{4, 512}, 2);
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

/// A network, its training state and a bag.
struct training {
  cpu backend;
  network model = {};
  tensor<float, 4> bag;
  std::int64_t label = 1, steps = 0;
  parameters<network, float> weights = initial_parameters<float>(model, {.seed = 1});
  parameters<network, float> gradient = weights.zeros(), first = weights.zeros(), second = weights.zeros();

  training(cpu b, std::int64_t images_in_bag)
      : backend(std::move(b)), bag(test::normals<float>(bag_shape.with_rows(images_in_bag), 1)) {}

  double step() {
    ops::fill(backend, gradient.flat(), 0.0f);
    const double loss = model.train_bags(backend, std::as_const(weights).flat(), bags_of(images<float>(bag.view())),
                                         vector_view<const std::int64_t>(&label, {1}), loss::cross_entropy{}, 1.0,
                                         gradient.flat(), pass{.training = true});
    train::adam{}.step(backend, weights.flat(), std::as_const(gradient).flat(), {first.flat(), second.flat()},
                       {.step = ++steps, .learning_rate = 1e-4});
    return loss;
  }
};

bench::plain_linear plain_layer(const parameters<network, float>& weights, const std::string& name, std::size_t rows) {
  const auto values = test::elements(weights[name + ".weight"]);
  return {{rows, values.size() / rows, values}, test::elements(weights[name + ".bias"])};
}

/// Convolution, relu and pooling in plain loops: forward, and back from the gradient of its output.
struct plain_block {
  reference::images weight, x, y;  ///< y: before the relu
  std::vector<double> bias;

  plain_block(const parameters<network, float>& weights, const std::string& name, const reference::images& input,
              int out, int kernel)
      : weight(out, input.c, kernel, kernel), x(input), y(0, 0, 0, 0), bias(test::elements(weights[name + ".bias"])) {
    weight.values = test::elements(weights[name + ".weight"]);
    y = reference::conv2d(x, weight, bias, {});
  }
  reference::images activated() const {
    auto a = y;
    for (double& each : a.values) each = each > 0 ? each : 0;
    return a;
  }
  reference::images pooled() const {
    return reference::max_pool2d(activated(), reference::images(y.n, y.c, y.h / 2, y.w / 2), 2, 2, 0).y;
  }
  reference::conv2d_gradients backward(const reference::images& dpooled) const {
    auto dy = reference::max_pool2d(activated(), dpooled, 2, 2, 0).dx;
    for (std::size_t i = 0; i < dy.values.size(); ++i)
      if (y.values[i] <= 0) dy.values[i] = 0;
    return reference::conv2d_backward(x, weight, dy, {});
  }
};

/// One step on a small bag in several chunks, some of them computed twice, against plain loops.
bool right(const cpu& like) {
  training c(cpu{.threads = like.threads, .gemm = like.gemm}, 6);
  c.model.embedding.chunk_rows = 2;
  c.model.embedding.saved_bytes = 300'000;
  const auto before = c.weights.clone();
  const plain_block one(before, "encoder.0", test::plain(c.bag), 36, 4), two(before, "encoder.3", one.pooled(), 48, 3);
  const auto pooled = two.pooled();
  const auto n = static_cast<std::size_t>(pooled.n);
  const bench::plain_matrix flat{n, pooled.values.size() / n, pooled.values};
  const bench::plain_linear wide = plain_layer(before, "encoder.7", 512);
  const bench::plain_matrix z = wide(flat);
  bench::plain_matrix h = z;
  for (double& each : h.values) each = each > 0 ? each : 0;
  const bench::plain_gated_attention rest{plain_layer(before, "encoder.9", 512), plain_layer(before, "pooler.v", 128),
                                          plain_layer(before, "pooler.u", 128), plain_layer(before, "pooler.w", 1),
                                          plain_layer(before, "classifier", 2)};
  auto want = bench::gated_attention_step(rest, h, 1);
  for (std::size_t i = 0; i < z.values.size(); ++i)
    if (z.values[i] <= 0) want.bag_gradient.values[i] = 0;
  bench::plain_matrix dflat{n, flat.cols};
  const auto dwide = wide.backward(flat, want.bag_gradient, dflat);
  auto dpooled = pooled;
  dpooled.values = dflat.values;
  const auto dtwo = two.backward(dpooled), done = one.backward(dtwo.x);

  const double loss = c.step();
  const auto same = [&](const std::string& name, const std::vector<double>& weight, const std::vector<double>& bias) {
    return test::relative_error(c.gradient[name + ".weight"], weight) <= 1e-4 &&
           (bias.size() == 1  // the score's bias has the gradient 0
                ? std::abs(c.gradient[name + ".bias"](0)) <= 1e-5f
                : test::relative_error(c.gradient[name + ".bias"], bias) <= 1e-4);
  };
  const auto same_layer = [&](const std::string& name, const bench::plain_linear& layer) {
    return same(name, layer.weight.values, layer.bias);
  };
  auto weights = test::elements(before.flat());
  reference::numbers m(weights.size()), v(weights.size());
  reference::adam_step(weights, test::elements(c.gradient.flat()), m, v, {1e-4, 0.9, 0.999, 1e-8, 0, false}, 1, 1);
  const auto& d = want.gradient;
  return test::close(loss, want.loss, {.relative = 1e-5}) && same("encoder.0", done.weight.values, done.bias) &&
         same("encoder.3", dtwo.weight.values, dtwo.bias) && same_layer("encoder.7", dwide) &&
         same_layer("encoder.9", d.encoder) && same_layer("pooler.v", d.v) && same_layer("pooler.u", d.u) &&
         same_layer("pooler.w", d.w) && same_layer("classifier", d.classifier) &&
         test::relative_error(c.weights.flat(), weights) <= 1e-6;
}
/// Once for each product, however often it is measured.
bool step_right(const cpu& backend) {
  static int known[2] = {-1, -1};
  int& one = known[backend.gemm.single != nullptr];
  if (one < 0) one = right(backend);
  return one == 1;
}

constexpr double encoder_macs = 576.0 * 36 * 48 + 100.0 * 48 * 324 + 1200.0 * 512 + 512.0 * 512;
constexpr double step_flops =
    2 * patches * (3 * encoder_macs - 576.0 * 36 * 48);  // the patches' own gradient is not wanted

void encoder_step(benchmark::State& state) {
  cpu backend = backend_for(state);
  if (!encoder_right(backend)) return state.SkipWithError("differs from the central difference");
  const auto weights = initial_parameters<float>(encoder{}, {.seed = 1});
  const auto x = test::normals<float>(bag_shape, 1);
  const auto dy = test::normals<float>(shape<2>{patches, 512}, 2);
  tensor<float, 2> y(dy.shape());
  auto gradient = weights.zeros();
  const auto once = [&] { encode<float>(backend, weights, x.view(), dy.view(), y.view(), gradient.flat()); };
  for (int i = 0; i < 3; ++i) once();  // the first steps make the workspace and touch its pages
  for (auto _ : state) once();
  count(state, step_flops, static_cast<double>(weights.bytes()) * 2);
}

void training_step(benchmark::State& state) {
  training c(backend_for(state), patches);
  if (!step_right(c.backend)) return state.SkipWithError("differs from plain loops");
  c.model.embedding.chunk_rows = state.range(1);
  for (int i = 0; i < 3; ++i) c.step();
  for (auto _ : state) c.step();
  count(state, step_flops + 2.0 * patches * 3 * 512 * 256, static_cast<double>(c.weights.bytes()) * 6);
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
