#pragma once

#include <milkit/nn/layer.hpp>
#include <milkit/ops/bags/segment_pool.hpp>
#include <milkit/ops/rows/fill.hpp>

/// Poolers: from the instances of a bag to one embedding, with an attention for every instance. A pooler has
///
///     static constexpr std::int64_t in_features, out_features;
///     static constexpr int scores;      // columns of logits an instance has: 0 (mean, max), 1, or 2 (dual attention)
///     static constexpr int attentions;  // columns of attention that an instance has, at least 1; each sums to 1 a bag
///     std::int64_t state_width(std::int64_t d) const;       // what a bag's running state holds, in doubles
///     void describe(Visitor&) const;                        // its parameters, as a layer
///     template <class T, class Space> using saved = ...;
///     void score(backend, weights, h, logits, saved&, pass) const;                         // row by row
///     void score_backward(backend, weights, h, saved, dlogits, dh, gradient, pass) const;  // adds to dh
///     void pool(backend, chunk, h, logits, part) const;     // the states of the chunk's bags alone
///     void merge(backend, part, states) const;              // into those of all chunks, in order
///     void finish(backend, offsets, states, embedding) const;
///     void attention(backend, chunk, logits, states, attention) const;
///     void dots(backend, chunk, logits, states, dattention, dots) const;  // for a gradient on the attention itself
///     void pool_backward(backend, chunk, h, logits, states, dembedding, dattention, dots, dlogits, dh) const;
///
/// Everything works on a chunk of a ragged batch (`ops::bag_chunk`), so that a bag of any size streams through in
/// pieces; `bag_embedding` drives it. Raw logits and normalised attention are outputs by contract.
namespace milkit {

template <class P>
concept pooler = requires(const P p, detail::parameter_counter counter) {
  P::in_features;
  P::out_features;
  { P::scores } -> std::convertible_to<int>;
  { P::attentions } -> std::convertible_to<int>;
  { p.state_width(std::int64_t{}) } -> std::convertible_to<std::int64_t>;
  p.describe(counter);
};

}  // namespace milkit
