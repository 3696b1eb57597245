// Small 'same' convolutions as a Zoom-In network trains them: 20 sub-tiles of 27 x 27 pixels through a 7x7 convolution
// 3 -> 32 and three of 3x3 32 -> 32, each with a relu, forward and backward; and single layers, also of large images.
// benchmarks/peers/conv2d.py runs the same beside PyTorch, in turns.
#include <string>

#include <milkit/nn/activation.hpp>
#include <milkit/nn/conv2d.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/images/conv2d_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>

#include <reference/images.hpp>
#include <support/images.hpp>

#include "measure.hpp"

namespace {

using namespace milkit;

using wide = nn::conv2d<3, 32, 7>;
using narrow = nn::conv2d<32, 32, 3>;
using network = nn::sequential<wide, nn::relu, narrow, nn::relu, narrow, nn::relu, narrow, nn::relu>;

network make_network() {
  const wide first{.padding = {3, 3}};
  const narrow rest{.padding = {1, 1}};
  return network(first, {}, rest, {}, rest, {}, rest, {});
}

/// The network with its weights and gradients, and a batch.
struct stack {
  cpu backend;
  network model = make_network();
  parameters<network, float> weights = initial_parameters<float>(model, {.seed = 1}), gradient = weights.zeros();
  tensor<float, 4> x, y, dy;  ///< the last relu works in dy, where what it does once and twice is the same

  stack(cpu b, std::int64_t images)
      : backend(std::move(b)),
        x(test::normals<float>(shape<4>{images, 3, 27, 27}, 1)),
        y(shape<4>{images, 32, 27, 27}),
        dy(test::normals<float>(y.shape(), 2)) {}

  void step() {
    const auto scope = backend.workspace.scope();
    network::saved<view<const float, 4>> kept;
    const context at{backend, weights.flat(), gradient.flat(), {.training = true}};
    model.forward(at, std::as_const(x).view(), y.view(), kept);
    ops::fill(backend, gradient.flat(), 0.0f);
    model.backward(at, kept, dy.view(), view<float, 4>());
  }

  double flops() const {  // the batch's own gradient is not wanted
    return 2.0 * static_cast<double>(x.rows()) * 27 * 27 * 32 * (2 * 3 * 49 + 3 * 3 * 32 * 9);
  }
};

/// One step on two images against plain loops.
bool right(const cpu& like) {
  stack c(cpu{.threads = like.threads, .gemm = like.gemm}, 2);
  auto dy = test::plain(c.dy);
  c.step();
  std::vector<reference::images> inputs{test::plain(c.x)}, kernels, outputs;
  for (int i = 0; i < 4; ++i) {
    const std::string name = std::to_string(2 * i);
    const int pad = i == 0 ? 3 : 1, side = 2 * pad + 1;
    kernels.emplace_back(32, inputs.back().c, side, side);
    kernels.back().values = test::elements(c.weights[name + ".weight"]);
    outputs.push_back(
        reference::conv2d(inputs.back(), kernels.back(), test::elements(c.weights[name + ".bias"]), {1, 1, pad, pad}));
    inputs.push_back(outputs.back());
    for (double& each : inputs.back().values) each = each > 0 ? each : 0;
  }
  bool same = test::relative_error(c.y, inputs.back().values) <= 1e-5;
  for (int i = 3; i >= 0; --i) {
    const auto at = static_cast<std::size_t>(i);
    const std::string name = std::to_string(2 * i);
    const int pad = i == 0 ? 3 : 1;
    for (std::size_t j = 0; j < dy.values.size(); ++j)
      if (outputs[at].values[j] <= 0) dy.values[j] = 0;
    const auto want = reference::conv2d_backward(inputs[at], kernels[at], dy, {1, 1, pad, pad});
    same = same && test::relative_error(c.gradient[name + ".weight"], want.weight.values) <= 1e-4 &&
           test::relative_error(c.gradient[name + ".bias"], want.bias) <= 1e-4;
    dy = want.x;
  }
  return same;
}

void stack_step(benchmark::State& state, const gemm_library& gemm) {
  cpu backend{.threads = static_cast<int>(state.range(1)), .gemm = gemm};
  if (!right(backend)) return state.SkipWithError("differs from plain loops");
  stack c(std::move(backend), state.range(0));
  for (int i = 0; i < 3; ++i) c.step();  // the first steps make the workspace and touch its pages
  bench::measure(state, c.backend.threads, c.flops(), static_cast<double>(4 * (c.x.size() + 2 * c.y.size())),
                 [&] { c.step(); });
  state.counters["workspace MB"] = static_cast<double>(c.backend.peak_bytes()) * 1e-6;
}

/// One convolution of stride 1 that keeps the size of its images.
struct one_size {
  std::int64_t images, in, out, side, kernel;
};
enum class direction { forward, dx, dweight };

void one_layer(benchmark::State& state, const one_size& l, direction which) {
  const ops::conv2d_options options{.padding = {l.kernel / 2, l.kernel / 2}};
  cpu backend{.threads = static_cast<int>(state.range(0))};
  const auto weight = test::normals<float>(shape<4>{l.out, l.in, l.kernel, l.kernel}, 2);
  const auto bias = test::normals<float>(shape<1>{l.out}, 3);
  const auto x = test::normals<float>(shape<4>{l.images, l.in, l.side, l.side}, 1);
  const auto dy = test::normals<float>(shape<4>{l.images, l.out, l.side, l.side}, 4);
  tensor<float, 4> y(dy.shape()), dx(x.shape()), dweight(weight.shape());
  tensor<float, 1> dbias(bias.shape());
  const auto pass = [&](std::int64_t images, bool forward, bool wants_dx) {
    const auto some = [&](auto& of) { return of.view().rows(0, images); };
    if (forward) return ops::conv2d(backend, some(x), weight.view(), bias.view(), some(y), options);
    ops::conv2d_backward(backend, some(x), weight.view(), some(dy), wants_dx ? some(dx) : view<float, 4>(),
                         dweight.view(), dbias.view(), options);
  };
  pass(1, true, true);
  pass(1, false, true);
  const reference::steps steps{1, 1, static_cast<int>(l.kernel / 2), static_cast<int>(l.kernel / 2)};
  const auto first = test::plain(x.view().rows(0, 1)), upstream = test::plain(dy.view().rows(0, 1));
  const auto want_y = reference::conv2d(first, test::plain(weight), test::elements(bias), steps);
  const auto want = reference::conv2d_backward(first, test::plain(weight), upstream, steps);
  if (test::relative_error(y.view().rows(0, 1), want_y.values) > 1e-5 ||
      test::relative_error(dx.view().rows(0, 1), want.x.values) > 1e-5 ||
      test::relative_error(dweight, want.weight.values) > 1e-5 || test::relative_error(dbias, want.bias) > 1e-5)
    return state.SkipWithError("differs from plain loops");
  const double once = 2.0 * static_cast<double>(dy.size() * l.in * l.kernel * l.kernel);
  bench::measure(state, backend.threads, which == direction::dx ? 2 * once : once,
                 static_cast<double>(4 * (x.size() + dy.size())),
                 [&] { pass(l.images, which == direction::forward, which == direction::dx); });
}

}  // namespace

int main(int argc, char** argv) {
  const auto shown = [](benchmark::internal::Benchmark* b) {
    b->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
  };
  for (const auto& [name, library] : bench::products) {
    if (std::string(name) == "openblas") continue;
    const auto gemm = library;
    shown(benchmark::RegisterBenchmark((std::string("stack/") + (gemm.single ? name : "own")).c_str(),
                                       [=](auto& state) { stack_step(state, gemm); })
              ->ArgNames({"images", "threads"})
              ->ArgsProduct({{1, 20, 200}, {1, 2}}));
  }
  for (const one_size& l : {one_size{20, 3, 32, 27, 7},
                            {20, 32, 32, 27, 3},
                            {4, 64, 64, 56, 3},
                            {8, 256, 256, 14, 3},
                            {20, 3, 8, 25, 3},
                            {20, 8, 8, 25, 3},
                            {20, 8, 1, 25, 3},
                            {4, 3, 8, 100, 3},
                            {4, 8, 8, 100, 3},
                            {4, 8, 1, 100, 3},
                            {1, 3, 8, 250, 3},
                            {1, 8, 8, 250, 3},
                            {1, 8, 1, 250, 3}}) {
    const std::string name = std::to_string(l.in) + "->" + std::to_string(l.out) + "," + std::to_string(l.side) + "x" +
                             std::to_string(l.side) + ",kernel:" + std::to_string(l.kernel);
    for (const auto& [which, text] : {std::pair(direction::forward, "forward"),
                                      std::pair(direction::dweight, "dweight"), std::pair(direction::dx, "backward")})
      shown(benchmark::RegisterBenchmark((name + "/" + text).c_str(),
                                         [l, which](auto& state) { one_layer(state, l, which); })
                ->ArgName("threads")
                ->Arg(1)
                ->Arg(2));
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
