#pragma once

#include <milkit/pooling/pooler.hpp>

namespace milkit::pooling {

/// Mean pooling: g = (1/n) sum_i h_i, attention 1/n for every instance, no logits, no parameters. Sums are in double.
/// Empty bag: value_error from bag_embedding. NaN in an instance: NaN in that column of g.
struct mean {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr int scores = 0, attentions = 1;

  std::int64_t state_width(std::int64_t d) const { return d; }
  template <class T, class Space>
  struct saved {};

  void score(const auto&, auto, auto, auto&) const {}
  void score_backward(const auto&, auto, const auto&, auto, auto) const {}

  template <class Backend, class Chunk, class Instances, class Logits, class Part>
  void pool(Backend& backend, const Chunk& chunk, Instances h, Logits, Part part) const {
    ops::sum_pool(backend, chunk, h, part);
  }
  template <class Backend, class Part, class States>
  void merge(Backend& backend, Part part, States states) const {
    ops::sum_pool_merge(backend, part, states);
  }
  template <class Backend, class Offsets, class States, class Embedding>
  void finish(Backend& backend, Offsets offsets, States states, Embedding embedding) const {
    ops::mean_pool_finish(backend, offsets, states, embedding);
  }
  template <class Backend, class Chunk, class Logits, class States, class Attention>
  void attention(Backend& backend, const Chunk& chunk, Logits, States, Attention attention) const {
    ops::mean_weights(backend, chunk, attention);
  }
  template <class... Args>
  void dots(Args&&...) const {}
  template <class Backend, class Chunk, class Instances, class Logits, class States, class Dembedding, class Dattention,
            class Dots, class Dlogits, class Dh>
  void pool_backward(Backend& backend, const Chunk& chunk, Instances, Logits, States, Dembedding dembedding, Dattention,
                     Dots, Dlogits, Dh dh) const {
    ops::mean_pool_backward(backend, chunk, dembedding, dh);
  }
};

}  // namespace milkit::pooling
