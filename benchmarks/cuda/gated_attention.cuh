#pragma once

#include <map>
#include <optional>

#include <milkit/loss/cross_entropy.hpp>
#include <milkit/models/bag_classifier/bag_classifier.hpp>
#include <milkit/nn/activation.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/pooling/gated_attention.hpp>
#include <milkit/train/optimizer.hpp>

#include <reference/optimizer.hpp>

#include "../plain_gated_attention.hpp"
#include "ops.cuh"

/// AB-MIL with gated attention, D -> H -> L, on one bag on a card: inference, and a training step (forward, all
/// gradients, Adam); queued call by call, or captured once as a CUDA graph. As benchmarks/gated_attention_bench.cpp and
/// benchmarks/peers/gated_attention.py.
namespace milkit::bench {

/// What a stream was given, to be given to it again at once.
class captured_graph {
 public:
  captured_graph(milkit::cuda& gpu, const std::function<void()>& queue) {
    queue();  // memory and plans are there before the capture
    gpu.synchronize();
    expect_cuda(cudaStreamBeginCapture(gpu.stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    queue();
    cudaGraph_t graph = nullptr;
    expect_cuda(cudaStreamEndCapture(gpu.stream(), &graph), "cudaStreamEndCapture");
    const cudaError_t made = cudaGraphInstantiate(&run_, graph, 0);
    static_cast<void>(cudaGraphDestroy(graph));
    expect_cuda(made, "cudaGraphInstantiate");
  }
  captured_graph(const captured_graph&) = delete;
  captured_graph& operator=(const captured_graph&) = delete;
  ~captured_graph() { static_cast<void>(cudaGraphExecDestroy(run_)); }

  void launch(const milkit::cuda& gpu) { expect_cuda(cudaGraphLaunch(run_, gpu.stream()), "cudaGraphLaunch"); }

 private:
  cudaGraphExec_t run_ = nullptr;
};

/// A network, its training state and a bag, on the card.
template <std::int64_t D, std::int64_t H, std::int64_t L>
struct card_training {
  using network = models::bag_classifier<nn::sequential<nn::linear<D, H>, nn::relu>, pooling::gated_attention<H, L>,
                                         nn::linear<H, 2>>;
  static constexpr double forward_flops = 2.0 * (D * H + 2 * H * L);     // an instance
  static constexpr double step_flops = 2 * forward_flops + 4.0 * H * L;  // the encoder passes no gradient to the bag

  milkit::cuda& gpu;
  card_array<float, 2> bag;
  network model = {};
  std::int64_t label = 1, steps = 0;
  parameters<network, float, device_space> weights = initial_parameters<float>(gpu, model, {.seed = 1}),
                                           gradient{model}, first{model}, second{model};
  card_array<float, 2> logits{shape<2>{1, 2}};
  card_array<double, 1> loss{shape<1>{1}};
  std::optional<captured_graph> graph;

  card_training(milkit::cuda& backend, std::int64_t instances)
      : gpu(backend), bag(uniform_tensor<float>(shape<2>{instances, D}, 1)) {}

  void step() {
    ops::fill(gpu, gradient.flat(), 0.0f);
    model.queue_bags(gpu, std::as_const(weights).flat(), bags_of(bag.read()),
                     vector_view<const std::int64_t>(&label, {1}), loss::cross_entropy{}, 1.0, loss.view(),
                     gradient.flat(), pass{.training = true});
    train::adam{}.step(gpu, weights.flat(), std::as_const(gradient).flat(), {first.flat(), second.flat()},
                       {.step = ++steps, .learning_rate = 1e-4});
  }
  void infer() { model.infer(gpu, std::as_const(weights).flat(), bags_of(bag.read()), logits.view()); }

  /// Bytes that must move at least: the bag; weights and two moments, read and written; the gradient, written.
  double bytes(bool training) const {
    const double weight_bytes = as_double(static_cast<std::int64_t>(weights.bytes()));
    return float_bytes(bag.values.size()) + weight_bytes * (training ? 7 : 1);
  }
};

/// ||got - want|| / ||want||.
inline double norm_error(const std::vector<double>& got, const std::vector<double>& want) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (got.at(i) - want[i]) * (got.at(i) - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(difference / norm);
}

/// One step on a small bag in several chunks, some of them computed twice, against plain loops: the largest error; of
/// rounded factors the one of the norm, because a unit near 0 that relu lets through here and not there is worth much
/// to single numbers.
template <class Training>
double plain_error(milkit::precision rounding, std::int64_t instances) {
  milkit::cuda gpu({.precision = rounding});
  Training c(gpu, instances);
  c.model.embedding.chunk_rows = (instances + 2) / 3;
  c.model.embedding.saved_bytes = static_cast<std::size_t>(instances) * 3500;
  const auto before = c.weights.template to<host_space>();
  const auto plain = [&](const std::string& name, std::size_t rows) {
    const auto values = test::elements(before[name + ".weight"]);
    return plain_linear{{rows, values.size() / rows, values}, test::elements(before[name + ".bias"])};
  };
  const auto width = static_cast<std::size_t>(before["encoder.0.bias"].extent(0)),
             hidden = static_cast<std::size_t>(before["pooler.v.bias"].extent(0));
  const plain_gated_attention net{plain("encoder.0", width), plain("pooler.v", hidden), plain("pooler.u", hidden),
                                  plain("pooler.w", 1), plain("classifier", 2)};
  const auto want = gated_attention_step(
      net, {static_cast<std::size_t>(instances), static_cast<std::size_t>(c.bag.values.extent(1)), c.bag.numbers()}, 1);
  const auto distance = [&](const auto& got, const std::vector<double>& wanted) {
    return rounding == milkit::precision::float32 ? relative_error(got, wanted)
                                                  : norm_error(test::elements(got), wanted);
  };
  c.infer(), c.step();
  const auto gradient = c.gradient.template to<host_space>();
  double error =
      (std::max)(distance(c.logits.numbers(), want.logits), distance(c.loss.numbers(), std::vector<double>{want.loss}));
  const auto compare = [&](const std::string& name, const plain_linear& layer) {
    error = (std::max)(error, distance(gradient[name + ".weight"], layer.weight.values));
    // The score's bias has the gradient 0.
    error = (std::max)(error, layer.bias.size() == 1 ? std::abs(static_cast<double>(gradient[name + ".bias"](0)))
                                                     : distance(gradient[name + ".bias"], layer.bias));
  };
  compare("encoder.0", want.gradient.encoder), compare("pooler.v", want.gradient.v);
  compare("pooler.u", want.gradient.u), compare("pooler.w", want.gradient.w);
  compare("classifier", want.gradient.classifier);
  auto weights = test::elements(before.flat());
  reference::numbers m(weights.size()), v(weights.size());
  reference::adam_step(weights, test::elements(gradient.flat()), m, v, {1e-4, 0.9, 0.999, 1e-8, 0, false}, 1, 1);
  return (std::max)(error, relative_error(c.weights.template to<host_space>().flat(), weights));
}

/// A step, or inference, queued or as a graph, of a bag of so many instances. `checked` instances are compared with
/// plain loops; a graph must also end with the bits of what it was captured from.
template <class Training>
work gated_attention_work(milkit::cuda& gpu, std::int64_t instances, std::int64_t checked, bool training, bool graph) {
  const auto c = std::make_shared<Training>(gpu, instances);
  const std::function<void()> queue = [=] { training ? c->step() : c->infer(); };
  if (graph) c->graph.emplace(gpu, queue);
  const std::function<void()> replay = [=, &gpu] { c->graph->launch(gpu); };
  const auto error = [=, rounding = gpu.precision] {
    static std::map<milkit::precision, double> known;  // the loops take a second
    const auto [at, is_new] = known.try_emplace(rounding);
    if (is_new) at->second = plain_error<Training>(rounding, checked);
    const double against_loops = at->second;
    if (!graph) return against_loops;
    const auto result = [&](bool by_graph) {
      milkit::cuda own_gpu({.precision = rounding});  // a graph holds on to the workspace of its backend
      Training other(own_gpu, instances);
      const std::function<void()> call = [&] { training ? other.step() : other.infer(); };
      if (by_graph) other.graph.emplace(own_gpu, call);  // queues it once
      else call();
      for (int i = 0; i < 2; ++i) {
        other.steps = 1;  // the number of the step that was captured is 2
        by_graph ? other.graph->launch(own_gpu) : call();
      }
      own_gpu.synchronize();
      return training ? test::elements(other.weights.template to<host_space>().flat()) : other.logits.numbers();
    };
    return result(true) == result(false) ? against_loops : 1.0;
  };
  // Of TF32 only a wrong formula is asked for: the bound of a product is not that of a gradient through a relu.
  const double bound = gpu.precision == milkit::precision::float32 ? 1e-4 : 0.2;
  return {.queue = graph ? replay : queue,
          .error = error,
          .bound = bound,
          .flops = (training ? Training::step_flops : Training::forward_flops) * as_double(instances),
          .bytes = c->bytes(training),
          .flush = false,
          .memory = training ? as_double(static_cast<std::int64_t>(c->gradient.bytes())) : 0};
}

/// For bags of so many instances, divided by `shrink`.
template <class Training>
std::vector<named_work> gated_attention_works(const std::vector<std::int64_t>& bags, std::int64_t shrink,
                                              std::int64_t checked) {
  std::vector<named_work> all;
  for (const std::int64_t instances : bags)
    for (const auto rounding : {milkit::precision::float32, milkit::precision::tf32})
      for (const bool training : {true, false})
        for (const bool graph : {false, true})
          all.push_back({std::string(training ? "training_step/" : "inference/") + std::to_string(instances) + "/" +
                             name_of(rounding) + (graph ? "/graph" : "/queued"),
                         rounding, [=](milkit::cuda& gpu, const sizes&) {
                           return gated_attention_work<Training>(gpu, instances / shrink, checked, training, graph);
                         }});
  return all;
}

}  // namespace milkit::bench
