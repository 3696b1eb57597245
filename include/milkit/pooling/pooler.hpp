#pragma once

#include <utility>

#include <milkit/nn/layer.hpp>
#include <milkit/ops/bags/segment_pool.hpp>
#include <milkit/ops/rows/fill.hpp>

/// Poolers: from the instances of a bag to one embedding, with an attention for every instance. A pooler has
///
///     static constexpr std::int64_t in_features, out_features;
///     static constexpr int scores;      // columns of logits an instance has: 0 (mean, max), 1, or 2 (dual attention)
///     static constexpr int attentions;  // columns of attention that an instance has, at least 1; each sums to 1 a bag
///     std::int64_t state_width(std::int64_t d) const;       // what a bag's running state holds, in doubles
///     constexpr auto list(auto& l) const;                   // its parameters, as a layer; none without
///     template <class T, class Space> using saved = ...;
///     void score(at, h, logits, saved&) const;              // row by row
///     void score_backward(at, h, saved, dlogits, dh) const; // adds to dh
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

namespace detail {
template <class P>
concept gives_an_embedding = requires(const P p) {
  { P::in_features } -> std::convertible_to<std::int64_t>;
  { P::out_features } -> std::convertible_to<std::int64_t>;
  { P::scores } -> std::convertible_to<int>;
  { P::attentions } -> std::convertible_to<int>;
  { p.state_width(std::int64_t{}) } -> std::convertible_to<std::int64_t>;
};
// The verbs, tried with an archetype: floats on the host.
template <class P>
concept scores_rows = requires(const P p, const context<cpu, float> at, matrix_view<const float> h,
                               matrix_view<float> rows, typename P::template saved<float, host_space> kept) {
  { p.score(at, h, rows, kept) } -> std::same_as<void>;
  { p.score_backward(at, h, std::as_const(kept), rows, rows) } -> std::same_as<void>;
};
template <class P>
concept pools_chunks = requires(const P p, cpu& backend, const ops::bag_chunk<host_space> chunk,
                                matrix_view<const float> h, matrix_view<float> rows, matrix_view<double> states,
                                vector_view<const std::int64_t> offsets, vector_view<double> dots) {
  { p.pool(backend, chunk, h, rows, states) } -> std::same_as<void>;
  { p.merge(backend, states, states) } -> std::same_as<void>;
  { p.finish(backend, offsets, states, rows) } -> std::same_as<void>;
  { p.attention(backend, chunk, rows, states, rows) } -> std::same_as<void>;
  { p.dots(backend, chunk, rows, states, h, dots) } -> std::same_as<void>;
  { p.pool_backward(backend, chunk, h, rows, states, rows, h, dots, rows, rows) } -> std::same_as<void>;
};
}  // namespace detail

template <class P>
concept pooler = detail::gives_an_embedding<P> && detail::scores_rows<P> && detail::pools_chunks<P>;

}  // namespace milkit
