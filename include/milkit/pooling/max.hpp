#pragma once

#include <milkit/pooling/pooler.hpp>

namespace milkit::pooling {

/// Max pooling over instances: g_j = max_i h_ij; ties go to the lower index, NaN counts as larger than any number. No
/// logits, no parameters. Attention of an instance: the share of columns in which it is the maximum (sums to 1, no
/// gradient). Backward: column j's gradient goes to its maximum alone. Empty bag: value_error from bag_embedding.
struct max {
  static constexpr std::int64_t in_features = any_features, out_features = any_features;
  static constexpr int scores = 0, attentions = 1;

  std::int64_t state_width(std::int64_t d) const { return 2 * d; }
  template <class T, class Space>
  struct saved {};

  void score(const auto&, auto, auto, auto&) const {}
  void score_backward(const auto&, auto, const auto&, auto, auto) const {}

  template <class Backend, class Chunk, class Instances, class Logits, class Part>
  void pool(Backend& backend, const Chunk& chunk, Instances h, Logits, Part part) const {
    ops::max_pool(backend, chunk, h, part);
  }
  template <class Backend, class Part, class States>
  void merge(Backend& backend, Part part, States states) const {
    ops::max_pool_merge(backend, part, states);
  }
  template <class Backend, class Offsets, class States, class Embedding>
  void finish(Backend& backend, Offsets, States states, Embedding embedding) const {
    ops::max_pool_finish(backend, states, embedding);
  }
  template <class Backend, class Chunk, class Logits, class States, class Attention>
  void attention(Backend& backend, const Chunk& chunk, Logits, States states, Attention attention) const {
    ops::max_weights(backend, chunk, states, attention);
  }
  template <class... Args>
  void dots(Args&&...) const {}
  template <class Backend, class Chunk, class Instances, class Logits, class States, class Dembedding, class Dattention,
            class Dots, class Dlogits, class Dh>
  void pool_backward(Backend& backend, const Chunk& chunk, Instances, Logits, States states, Dembedding dembedding,
                     Dattention, Dots, Dlogits, Dh dh) const {
    ops::max_pool_backward(backend, chunk, states, dembedding, dh);
  }
};

}  // namespace milkit::pooling
