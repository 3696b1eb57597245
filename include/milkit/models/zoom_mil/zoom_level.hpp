#pragma once

#include <type_traits>

#include <milkit/models/network.hpp>
#include <milkit/pooling/bag_embedding.hpp>
#include <milkit/topk/topk.hpp>

namespace milkit::models {

/// Stands for the top-K of the highest magnification, from which nothing zooms further.
struct no_zoom {
  static constexpr bool differentiable = false;
};

/// One magnification of ZoomMIL: projection (instance by instance), pooler, and the top-K that chooses the instances
/// whose children the next magnification looks at. The top-K selects by the last column of the pooler's attention: with
/// `pooling::dual_gated_attention` by a distribution of its own (the paper's DGA), with `pooling::gated_attention` by
/// the one that pools (its ablation).
template <class Projection, pooler Pooler, class Zoom = no_zoom>
struct zoom_level {
  static_assert(std::is_same_v<Zoom, no_zoom> || topk::top_k<Zoom>,
                "milkit::models::zoom_level: the third argument is a top-K operator (topk/), or none");
  using embedding_type = pooling::bag_embedding<Projection, Pooler>;
  using pooler_type = Pooler;
  static constexpr bool zooms = !std::is_same_v<Zoom, no_zoom>;
  static constexpr bool differentiable = Zoom::differentiable;
  static constexpr std::int64_t out_features = embedding_type::out_features;

  embedding_type embedding = {};
  [[no_unique_address]] Zoom zoom = {};

  constexpr auto list(auto& l) const { return embedding.list(l); }
};

/// What the classifier takes of the magnifications' embeddings: their sum (the paper), that of the highest alone, or
/// all side by side (its ablations).
enum class aggregation { sum, last, concatenation };

namespace detail {

template <aggregation How, class... Levels>
constexpr std::int64_t aggregated_features() {
  constexpr std::int64_t each[] = {Levels::out_features...};
  std::int64_t total = 0;
  for (const std::int64_t width : each) {
    if (width < 0) return dynamic_extent;
    total += width;
  }
  return How == aggregation::concatenation ? total : each[sizeof...(Levels) - 1];
}

/// "level1", "level2", ...: the names of the magnifications' parameters.
template <std::size_t Level>
struct level_name {
  static_assert(Level < 9, "milkit::models::zoom_mil: at most nine magnifications");
  static constexpr char text[] = {'l', 'e', 'v', 'e', 'l', static_cast<char>('1' + Level), '\0'};
};

}  // namespace detail

}  // namespace milkit::models
