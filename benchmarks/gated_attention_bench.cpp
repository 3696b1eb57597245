// AB-MIL with gated attention, 1024 -> 512 -> 256, on one bag: inference, and a training step (forward, all gradients,
// Adam). benchmarks/run.sh runs it beside PyTorch, in turns.
#include <map>
#include <string>

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/bag_classifier/bag_classifier.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/ops/bags/gate_cpu.hpp>
#include <milkit/ops/bags/segment_pool_cpu.hpp>
#include <milkit/ops/products/linear_cpu.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>
#include <milkit/ops/rows/dropout_cpu.hpp>
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/training/cross_entropy_cpu.hpp>
#include <milkit/ops/training/optimizer_step_cpu.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/train/optimizer.hpp>

#include <reference/optimizer.hpp>

#include "measure.hpp"
#include "plain_gated_attention.hpp"

namespace {

using namespace milkit;

using network = models::bag_classifier<nn::sequential<nn::linear<1024, 512>, nn::relu>,
                                       pooling::gated_attention<512, 256>, nn::linear<512, 2>>;

constexpr double forward_flops = 2 * (1024.0 * 512 + 512.0 * 512);  // an instance
constexpr double step_flops = 2 * forward_flops + 2 * 512.0 * 512;  // the encoder passes no gradient on to the bag

/// A network, its training state and a bag.
struct training {
  cpu backend;
  tensor<float, 2> bag;
  network model = {};
  std::int64_t label = 1, steps = 0;
  parameters<network, float> weights = initial_parameters<float>(network{}, {.seed = 1});
  parameters<network, float> gradient = weights.zeros(), first = weights.zeros(), second = weights.zeros();

  training(const gemm_library& gemm, std::int64_t instances, std::int64_t threads = 2)
      : backend{.threads = static_cast<int>(threads), .gemm = gemm},
        bag(bench::uniform_tensor<float>(shape<2>{instances, 1024}, 1)) {}

  auto bags() const { return bags_of(bag.view()); }

  double step() {
    ops::fill(backend, gradient.flat(), 0.0f);
    const double loss =
        model.train_bags(backend, std::as_const(weights).flat(), bags(), vector_view<const std::int64_t>(&label, {1}),
                         loss::cross_entropy{}, 1.0, gradient.flat(), pass{.training = true});
    train::adam{}.step(backend, weights.flat(), std::as_const(gradient).flat(), {first.flat(), second.flat()},
                       {.step = ++steps, .learning_rate = 1e-4});
    return loss;
  }
  void infer(matrix_view<float> logits) { model.infer(backend, std::as_const(weights).flat(), bags(), logits); }
};

bench::plain_linear plain(const parameters<network, float>& weights, const std::string& name, std::size_t rows) {
  const auto values = test::elements(weights[name + ".weight"]);
  return {{rows, values.size() / rows, values}, test::elements(weights[name + ".bias"])};
}

/// One step on a small bag in several chunks, some of them computed twice, against plain loops.
bool right(const gemm_library& gemm, std::size_t saved_bytes) {
  training c(gemm, 90);
  c.model.embedding.chunk_rows = 32;
  c.model.embedding.saved_bytes = (std::min)(saved_bytes, std::size_t{300'000});
  const auto before = c.weights.clone();
  const bench::plain_gated_attention plain_net{plain(before, "encoder.0", 512), plain(before, "pooler.v", 256),
                                               plain(before, "pooler.u", 256), plain(before, "pooler.w", 1),
                                               plain(before, "classifier", 2)};
  const auto want = bench::gated_attention_step(plain_net, {90, 1024, test::elements(c.bag)}, 1);
  tensor<float, 2> logits({1, 2});
  c.infer(logits.view());
  const double loss = c.step();
  const auto same = [&](const std::string& name, const bench::plain_linear& layer) {
    return test::relative_error(c.gradient[name + ".weight"], layer.weight.values) <= 1e-4 &&
           (layer.bias.size() == 1  // the score's bias has the gradient 0
                ? std::abs(c.gradient[name + ".bias"](0)) <= 1e-5f
                : test::relative_error(c.gradient[name + ".bias"], layer.bias) <= 1e-4);
  };
  auto weights = test::elements(before.flat());
  reference::numbers m(weights.size()), v(weights.size());
  reference::adam_step(weights, test::elements(c.gradient.flat()), m, v,
                       {.rate = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decay = 0, .decoupled = false}, 1, 1);
  const auto& d = want.gradient;
  return test::relative_error(logits, want.logits) <= 1e-5 && test::close(loss, want.loss, {.relative = 1e-5}) &&
         same("encoder.0", d.encoder) && same("pooler.v", d.v) && same("pooler.u", d.u) && same("pooler.w", d.w) &&
         same("classifier", d.classifier) && test::relative_error(c.weights.flat(), weights) <= 1e-6;
}

/// Checks each product and memory limit once, however often it is measured.
bool checked(const gemm_library& gemm, std::size_t saved_bytes) {
  static std::map<std::pair<gemm_library::gemm, std::size_t>, bool> known;
  const auto [at, is_new] = known.try_emplace({gemm.single, saved_bytes});
  if (is_new) at->second = right(gemm, saved_bytes);
  return at->second;
}

/// Measures `step` of `c`, and the memory that it takes beside what is there before.
void measure(benchmark::State& state, training& c, double flops, auto&& step) {
  bench::restart_peak();
  const double resident = bench::resident_bytes();
  const auto instances = static_cast<double>(c.bag.rows());
  bench::measure(state, c.backend.threads, flops * instances, instances * 1024 * sizeof(float), step);
  state.counters["workspace MB"] = static_cast<double>(c.backend.peak_bytes()) * 1e-6;
  state.counters["resident MB"] = (bench::resident_bytes(true) - resident) * 1e-6;
}

void training_step(benchmark::State& state, const gemm_library& gemm, std::size_t saved_bytes) {
  if (!checked(gemm, saved_bytes)) return state.SkipWithError("differs from plain loops");
  training c(gemm, state.range(0), state.range(2));
  c.model.embedding.chunk_rows = state.range(1);
  c.model.embedding.saved_bytes = saved_bytes;
  measure(state, c, step_flops, [&] { c.step(); });
}

void inference(benchmark::State& state, const gemm_library& gemm) {
  if (!checked(gemm, 0)) return state.SkipWithError("differs from plain loops");
  training c(gemm, state.range(0), state.range(2));
  tensor<float, 2> logits({1, 2});
  measure(state, c, forward_flops, [&] { c.infer(logits.view()); });
}

}  // namespace

int main(int argc, char** argv) {
  constexpr std::size_t usual = network{}.embedding.saved_bytes, all = std::size_t{1} << 40;
  const auto shown = [](benchmark::internal::Benchmark* b, std::vector<std::vector<std::int64_t>> arguments) {
    b->ArgNames({"instances", "chunk", "threads"})
        ->ArgsProduct(arguments)
        ->MeasureProcessCPUTime()
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  for (const auto& [name, library] : bench::products) {
    const auto gemm = library;
    const std::string suffix = std::string("/") + name;
    const auto add = [&](const std::string& title, auto body, std::vector<std::vector<std::int64_t>> arguments) {
      shown(benchmark::RegisterBenchmark((title + suffix).c_str(), body), arguments);
    };
    add("training_step", [=](benchmark::State& s) { training_step(s, gemm, usual); },
        {{1'000, 10'000, 100'000}, {0}, {2}});
    add("training_step_all_saved", [=](benchmark::State& s) { training_step(s, gemm, all); }, {{100'000}, {0}, {2}});
    add("training_step_chunks", [=](benchmark::State& s) { training_step(s, gemm, usual); },
        {{10'000}, {256, 512, 1024}, {1, 2}});
    add("inference", [=](benchmark::State& s) { inference(s, gemm); }, {{1'000, 10'000, 100'000}, {0}, {2}});
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
