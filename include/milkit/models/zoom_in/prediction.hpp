#pragma once

#include <vector>

#include <milkit/models/zoom_in/zoom_in.hpp>
#include <milkit/nn/memory_plan.hpp>

namespace milkit::models {

/// What a Zoom-In network says of an image and where it looked, in memory of its own.
template <class T>
struct zoom_in_prediction {
  /// A full-resolution window that the network looked at.
  struct subtile {
    std::int64_t tile, cell;
    sampling::place<sampling::pixel_frame> origin;
    double weight;  ///< of its features in the embedding
  };
  tensor<T, 2> logits, probabilities;  ///< [1, classes]; of a single logit two: `probabilities_of`
  sampling::view_grid grid;
  tensor<T, 2> tile_attention;      ///< [1, tiles]
  std::vector<std::int64_t> tiles;  ///< those whose cells were looked at
  tensor<T, 2> cell_attention;      ///< [those, cells]
  std::vector<subtile> subtiles;
};

namespace detail {
template <class Network>
inline constexpr bool is_zoom_in = false;
template <class... Parts>
inline constexpr bool is_zoom_in<zoom_in<Parts...>> = true;
}  // namespace detail

template <class Network>
concept zoom_in_network = detail::is_zoom_in<Network>;

/// Looks at an image as `network.options.inference` says, once. `exact` has no sub-tiles to name: its attention is that of every
/// tile. What draws, draws from `random`. Errors: as the network's.
template <backend Backend, zoom_in_network Network, class T, sampling::image_source Source>
zoom_in_prediction<T> predict(Backend& backend, const Network& network,
                              const parameters<Network, T, typename Backend::space>& weights, const Source& image,
                              random_stream random = {}) {
  zoom_in_prediction<T> said;
  const auto scope = backend.workspace.scope();
  typename Network::template saved<T, Backend> kept;
  const auto logits = backend.workspace.template allocate<T>(network.output_shape(image));
  if (network.options.inference == looking::exact) {
    network.infer(backend, weights.flat(), image, logits);
    network.attend(backend, weights.flat(), image, kept);
  } else {
    network.forward(context{backend, weights.flat(), {}, {.random = random}}, image, false, network.options.inference,
                    logits, kept);
    const auto& own = kept.attended;
    const auto tile_weights = to_host(backend, own.tiles.weights), cell_weights = to_host(backend, own.cells.weights);
    for (std::int64_t s = 0; s < own.tiles.items.extent(0); ++s)
      for (std::int64_t k = own.cells.offsets(s); k < own.cells.offsets(s + 1); ++k)
        said.subtiles.push_back(
            {own.tiles.items(s), own.cells.items(k),
             kept.grid.subtile_origin(kept.grid.tiles().at(own.tiles.items(s)), kept.grid.cells.at(own.cells.items(k))),
             static_cast<double>(tile_weights(s)) * static_cast<double>(cell_weights(k))});
  }
  said.grid = kept.grid;
  said.tiles.assign(kept.shown.data(), kept.shown.data() + kept.shown.extent(0));
  said.logits = on_host(backend, logits);
  said.probabilities = probabilities_of(backend, logits);
  said.tile_attention = on_host(backend, kept.tile_attention);
  said.cell_attention = on_host(backend, kept.cell_attention);
  return said;
}

/// Both attentions in full, of every cell of every tile; no logits and no sub-tiles.
template <backend Backend, zoom_in_network Network, class T, sampling::image_source Source>
zoom_in_prediction<T> attend(Backend& backend, const Network& network,
                             const parameters<Network, T, typename Backend::space>& weights, const Source& image) {
  zoom_in_prediction<T> said;
  const auto scope = backend.workspace.scope();
  typename Network::template saved<T, Backend> kept;
  network.attend(backend, weights.flat(), image, kept);
  said.grid = kept.grid;
  said.tiles.assign(kept.shown.data(), kept.shown.data() + kept.shown.extent(0));
  said.tile_attention = on_host(backend, kept.tile_attention);
  said.cell_attention = on_host(backend, kept.cell_attention);
  return said;
}

/// The memory of one training step with both branches on images of the source's size, counted without computing anything or reading
/// a pixel. How many tiles are drawn is chance: as many as may be.
template <backend Backend, zoom_in_network Network, sampling::image_source Source, class Loss>
memory_plan plan_training_step(const Backend& backend, const Network& network, const Source& image, const Loss& loss) {
  using T = typename Source::value_type;
  Backend planner = backend.planner();
  workspace<typename Backend::space> others(true);
  const auto weights = others.template allocate<T>(parameter_stretch(network));
  const std::int64_t label = 1;
  network.train_bags(planner, weights, image, vector_view<const std::int64_t>(&label, {1}), loss, 1.0, weights,
                     {.training = true, .epoch = network.options.contrastive_from});
  memory_plan plan;
  plan.weights = plan.gradient = static_cast<std::size_t>(weights.extent(0)) * sizeof(T);
  plan.workspace = planner.peak_bytes();
  return plan;
}

}  // namespace milkit::models
