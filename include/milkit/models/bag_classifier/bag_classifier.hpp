#pragma once

#include <vector>

#include <milkit/models/network.hpp>
#include <milkit/nn/memory_plan.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/pooling/bag_embedding.hpp>

namespace milkit::models {

/// The classic network of multiple-instance learning: encoder (instance by instance), pooler (bag to embedding),
/// classifier (embedding to class logits). With `pooling::gated_attention` it is AB-MIL (Ilse, Tomczak & Welling 2018):
///
///     using abmil = bag_classifier<nn::sequential<nn::linear<1024, 512>, nn::relu>,
///                                  pooling::gated_attention<512, 256>, nn::linear<512, 2>>;
///
/// Takes ragged batches of bags; each bag has attention for its instances and logits [classes]. Parameters:
/// `encoder.*`, `pooler.*`, `classifier.*`. Memory and chunks: see pooling::bag_embedding.
template <class Encoder, pooler Pooler, class Classifier>
struct bag_classifier {
  static_assert(
      pooling::bag_embedding<Encoder, Pooler>::out_features < 0 || Classifier::in_features < 0 ||
          pooling::bag_embedding<Encoder, Pooler>::out_features == Classifier::in_features,
      "milkit::models::bag_classifier: the pooler gives another number of features than the classifier takes");
  using embedding_type = pooling::bag_embedding<Encoder, Pooler>;

  embedding_type embedding = {};
  Classifier classifier = {};

  constexpr auto list(auto& l) const { return std::tuple{l.child("", embedding), l.child("classifier", classifier)}; }

  /// What forward gives. `logits` [bags, classes] is written; the others where they are not absent: embedding [bags,
  /// d], attention_logits [instances, scores], attention [instances, attentions].
  template <class T, class Space = host_space>
  struct outputs {
    matrix_view<T, Space> logits;
    matrix_view<T, Space> embedding = {};
    matrix_view<T, Space> attention_logits = {};
    matrix_view<T, Space> attention = {};
  };

  template <class Source, class Backend>
  struct saved {
    using T = typename Source::value_type;
    typename embedding_type::template saved<Source, Backend> embedding;
    saved_of<Classifier, matrix_view<const T, typename Backend::space>> classifier;
    matrix_view<T, typename Backend::space> embeddings;
  };

  /// The shape of the logits, [bags, classes].
  template <class Source>
  shape<2> output_shape(const bag_batch<Source>& bags) const {
    return classifier.output_shape(embedding.encoder.output_shape(bags.source().shape()).with_rows(bags.bags()));
  }

  template <class Backend, class T, class Source>
  void forward(const context<Backend, T>& at, const bag_batch<Source>& bags,
               const outputs<std::type_identity_t<T>, typename Backend::space>& out,
               saved<Source, Backend>& kept) const {
    const std::int64_t features = embedding.encoder.output_shape(bags.source().shape())[1];
    kept.embeddings = out.embedding.absent()
                          ? at.backend.workspace.template allocate<T>(shape<2>{bags.bags(), features})
                          : out.embedding;
    embedding.forward(at.template child<0>(*this), bags.source(), bags.offsets(), kept.embeddings, out.attention_logits,
                      out.attention, kept.embedding);
    classifier.forward(at.template child<1>(*this), matrix_view<const T, typename Backend::space>(kept.embeddings),
                       out.logits, kept.classifier);
  }

  /// From dlogits [bags, classes] (used up) to the gradient of every parameter, and of the instances where dinput is
  /// not absent. dattention [instances, attentions]: a further gradient on the attention itself, or absent.
  template <class Backend, class T, class Source>
  void backward(const context<Backend, T>& at, const bag_batch<Source>& bags, const saved<Source, Backend>& kept,
                auto dlogits, auto dattention, auto dinput) const {
    const auto scope = at.backend.workspace.scope();
    const auto dembedding = at.backend.workspace.template allocate<T>(kept.embeddings.shape());
    classifier.backward(at.template child<1>(*this), kept.classifier, dlogits, dembedding);
    embedding.backward(at.template child<0>(*this), bags.source(), kept.embedding, dembedding, dattention, dinput);
  }

  /// One training step's forward and backward pass: adds `scale` times the gradient of the mean loss over the bags, and
  /// returns that loss. `loss` is one of loss/, `labels` [bags] lie on the host.
  template <class Backend, class Weights, class Source, class Loss, class Gradient>
  double train_bags(Backend& backend, Weights weights, const bag_batch<Source>& bags,
                    vector_view<const std::int64_t> labels, const Loss& loss, double scale, Gradient gradient,
                    const pass& pass) const {
    const auto scope = backend.workspace.scope();
    const auto losses = backend.workspace.template allocate<double>(bags.bags());
    const double total = queue_bags(backend, weights, bags, labels, loss, scale, losses, gradient, pass);
    const auto host = to_host(backend, vector_view<const double, typename Backend::space>(losses));
    double sum = 0;
    for (std::int64_t b = 0; b < host.extent(0) && !backend.workspace.planning(); ++b) sum += host(b);
    return sum / total;
  }

  /// The same, but on a GPU nothing waits, so that steps queue up and may be captured into a graph: `losses` [bags] in
  /// the backend's memory get the bags' losses times their weights, and the sum of the weights is returned. A captured
  /// graph keeps addresses of the workspace: run the step once, or call `backend.workspace.reserve(plan.workspace)`, then
  /// `backend.workspace.pin()` before the capture; afterwards a step that needs more throws std::length_error with the
  /// bytes. A replay repeats the very step, with its labels, random numbers, learning rate and count of steps: capture the
  /// next one anew (`cudaGraphExecUpdate` takes it over).
  template <class Backend, class Weights, class Source, class Loss, class Losses, class Gradient>
  double queue_bags(Backend& backend, Weights weights, const bag_batch<Source>& bags,
                    vector_view<const std::int64_t> labels, const Loss& loss, double scale, Losses losses,
                    Gradient gradient, const pass& pass) const {
    using T = typename Source::value_type;
    using none = matrix_view<T, typename Backend::space>;
    const auto scope = backend.workspace.scope();
    const auto logits = backend.workspace.template allocate<T>(output_shape(bags));
    const auto dlogits = backend.workspace.template allocate<T>(logits.shape());
    saved<Source, Backend> kept;
    const context at{backend, weights, gradient, pass};
    forward(at, bags, {.logits = logits}, kept);
    const double total = loss.evaluate(backend, logits, labels, scale, losses, dlogits);
    backward(at, bags, kept, dlogits, none(), view<T, Source::rank, typename Backend::space>());
    return total;
  }

  /// The logits [bags, classes] alone, without dropout.
  template <class Backend, class Weights, class Source, class Logits>
  void infer(Backend& backend, Weights weights, const bag_batch<Source>& bags, Logits logits) const {
    const auto scope = backend.workspace.scope();
    saved<Source, Backend> kept;
    forward(context{backend, weights}, bags, {.logits = logits}, kept);
  }
};

/// What a bag classifier says of a batch of bags, in memory of its own.
template <class T>
struct bag_prediction {
  tensor<T, 2> logits;            ///< [bags, classes]
  tensor<T, 2> probabilities;     ///< [bags, classes], of a single logit [bags, 2]: `probabilities_of`
  tensor<T, 2> embedding;         ///< [bags, d]
  tensor<T, 2> attention_logits;  ///< [instances, scores]
  tensor<T, 2> attention;         ///< [instances, attentions], each column sums to 1 in a bag
};

/// Inference with everything a user may ask for: `predict(cpu, abmil{}, weights, bags_of(instances))`. The weights lie
/// where the backend works; what comes back lies in the host's memory. Errors: as forward
/// of the network.
template <backend Backend, class Encoder, class Pooler, class Classifier, class T, class Source>
bag_prediction<T> predict(
    Backend& backend, const bag_classifier<Encoder, Pooler, Classifier>& network,
    const parameters<bag_classifier<Encoder, Pooler, Classifier>, T, typename Backend::space>& weights,
    const bag_batch<Source>& bags) {
  using network_type = bag_classifier<Encoder, Pooler, Classifier>;
  using matrix = tensor<T, 2, typename Backend::space>;
  const std::int64_t count = bags.bags(), rows = bags.instances();
  matrix logits(network.output_shape(bags)),
      embedding({count, network.embedding.encoder.output_shape(bags.source().shape())[1]}),
      attention_logits({rows, Pooler::scores}), attention({rows, Pooler::attentions});
  const auto scope = backend.workspace.scope();
  typename network_type::template saved<Source, Backend> kept;
  network.forward(context{backend, weights.flat()}, bags,
                  {.logits = logits.view(),
                   .embedding = embedding.view(),
                   .attention_logits = attention_logits.view(),
                   .attention = attention.view()},
                  kept);
  auto probabilities = probabilities_of(backend, logits.view());
  return {.logits = on_host(backend, std::move(logits)),
          .probabilities = std::move(probabilities),
          .embedding = on_host(backend, std::move(embedding)),
          .attention_logits = on_host(backend, std::move(attention_logits)),
          .attention = on_host(backend, std::move(attention))};
}

/// The memory of one training step of a bag classifier on instances of this shape, one bag or a ragged batch (`offsets`
/// [bags + 1]), counted without computing anything: the step runs on a backend that only counts. Exact for one thread;
/// of more, each is taken to run the chunk that needs most.
template <class T, backend Backend, class Network, int Rank, class Loss>
memory_plan plan_training_step(const Backend& backend, const Network& network, shape<Rank> instances, const Loss& loss,
                               vector_view<const std::int64_t> offsets = {}) {
  using Space = typename Backend::space;
  Backend planner = backend.planner(), forward_planner = backend.planner();
  workspace<Space> others(true);
  const auto weights = others.template allocate<T>(parameter_stretch(network));
  const auto bags = bags_of(others.template allocate<T>(instances), offsets);
  const std::vector<std::int64_t> labels(static_cast<std::size_t>(bags.bags()), 0);
  const pass training{.training = true};
  network.train_bags(planner, weights, bags, vector_view<const std::int64_t>(labels.data(), {bags.bags()}), loss, 1.0,
                     weights, training);
  typename Network::template saved<bag_view<T, Rank, Space>, Backend> kept;
  network.forward(context{forward_planner, weights, {}, training}, bags,
                  {.logits = others.template allocate<T>(network.output_shape(bags))}, kept);
  memory_plan plan;
  plan.weights = plan.gradient = static_cast<std::size_t>(weights.extent(0)) * sizeof(T);
  plan.bag = static_cast<std::size_t>(instances.size()) * sizeof(T);
  plan.workspace = planner.peak_bytes();
  plan.saved = forward_planner.workspace.bytes_in_use();
  return plan;
}

/// The same of `infer`, which has no gradient and saves nothing; `predict` returns its outputs on top of it.
template <class T, backend Backend, class Network, int Rank>
memory_plan plan_inference(const Backend& backend, const Network& network, shape<Rank> instances,
                           vector_view<const std::int64_t> offsets = {}) {
  Backend planner = backend.planner();
  workspace<typename Backend::space> others(true);
  const auto weights = others.template allocate<T>(parameter_stretch(network));
  const auto bags = bags_of(others.template allocate<T>(instances), offsets);
  network.infer(planner, weights, bags, others.template allocate<T>(network.output_shape(bags)));
  memory_plan plan;
  plan.weights = static_cast<std::size_t>(weights.extent(0)) * sizeof(T);
  plan.bag = static_cast<std::size_t>(instances.size()) * sizeof(T);
  plan.workspace = planner.peak_bytes();
  return plan;
}

}  // namespace milkit::models
