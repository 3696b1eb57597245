#pragma once

#include <vector>

#include <milkit/models/zoom_mil/zoom_mil.hpp>
#include <milkit/nn/memory_plan.hpp>

namespace milkit::models {

/// What ZoomMIL says of a slide, in memory of its own.
template <class T>
struct zoom_prediction {
  struct level {
    std::vector<std::int64_t> rows;      ///< [R]: the instances of this magnification that were looked at
    std::vector<std::int64_t> selected;  ///< [min(K, R)]: those of them whose children it zoomed into, ascending
    tensor<T, 2> attention_logits;       ///< [R, scores]
    tensor<T, 2> attention;              ///< [R, attentions]
    tensor<T, 2> embedding;              ///< [1, d]
  };
  tensor<T, 2> logits;         ///< [1, classes]
  tensor<T, 2> probabilities;  ///< [1, classes], of a single logit [1, 2]: `probabilities_of`
  std::vector<level> levels;

  /// How many instances were looked at, all magnifications together: N_1 + K r_12 + K r_23 + ....
  std::int64_t instances() const {
    std::int64_t sum = 0;
    for (const level& each : levels) sum += static_cast<std::int64_t>(each.rows.size());
    return sum;
  }
};

/// Inference with everything a user may ask for: `predict(cpu, network, weights, pyramid)`, or of a source that reads
/// and encodes only what is looked at (models/zoom_mil/source.hpp). The weights lie where the backend works; what comes
/// back lies in the host's memory. `random`: as `basic_zoom_mil::infer`, for a top-K that draws. Errors: as forward of
/// the network.
template <backend Backend, aggregation How, class Classifier, class... Levels, class T, class Slide>
zoom_prediction<T> predict(
    Backend& backend, const basic_zoom_mil<How, Classifier, Levels...>& network,
    const parameters<basic_zoom_mil<How, Classifier, Levels...>, T, typename Backend::space>& weights,
    const Slide& slide, random_stream random = {}) {
  zoom_prediction<T> said;
  const auto scope = backend.workspace.scope();
  const auto logits = backend.workspace.template allocate<T>(network.output_shape(slide));
  network.infer(
      backend, weights.flat(), slide, logits,
      [&](const auto& seen) {
        auto& level = said.levels.emplace_back();
        for (std::int64_t i = 0; i < seen.attention.rows(); ++i)
          level.rows.push_back(seen.rows.absent() ? i : seen.rows(i));
        if (!seen.selected.absent()) {
          const auto selected = to_host(backend, seen.selected);
          level.selected.assign(selected.data(), selected.data() + selected.extent(0));
        }
        level.attention_logits = on_host(backend, seen.attention_logits);
        level.attention = on_host(backend, seen.attention);
        level.embedding = on_host(backend, seen.embedding);
      },
      random);
  said.logits = on_host(backend, logits);
  said.probabilities = probabilities_of(backend, logits);
  return said;
}

/// The memory of one training step on a pyramid of these shapes (its features are not read), counted without computing
/// anything. Exact for one thread and dense pyramids; of more threads, each is taken to run the chunk that needs most,
/// and every instance to have all its children.
template <backend Backend, aggregation How, class Classifier, class... Levels, class T, std::size_t Count, class Space,
          class Loss>
memory_plan plan_training_step(const Backend& backend, const basic_zoom_mil<How, Classifier, Levels...>& network,
                               const pyramid<T, Count, Space>& slide, const Loss& loss) {
  Backend planner = backend.planner(), forward_planner = backend.planner();
  workspace<typename Backend::space> others(true);
  const auto weights = others.template allocate<T>(parameter_stretch(network));
  const std::int64_t label = 0;
  const pass training{.training = true};
  network.train_bags(planner, weights, slide, vector_view<const std::int64_t>(&label, {1}), loss, 1.0, weights,
                     training);
  typename basic_zoom_mil<How, Classifier, Levels...>::template saved<T, Backend> kept;
  network.forward(context{forward_planner, weights, {}, training}, slide,
                  others.template allocate<T>(network.output_shape(slide)), kept);
  memory_plan plan;
  plan.weights = plan.gradient = static_cast<std::size_t>(weights.extent(0)) * sizeof(T);
  for (const auto& features : slide.features) plan.bag += static_cast<std::size_t>(features.size()) * sizeof(T);
  plan.workspace = planner.peak_bytes();
  plan.saved = forward_planner.workspace.bytes_in_use();
  return plan;
}

}  // namespace milkit::models
