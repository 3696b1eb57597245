#pragma once

#include <milkit/core/backend.hpp>
#include <milkit/core/parallel_for.hpp>

namespace milkit::ops {

/// A chunk of a ragged batch of bags: the rows [first, first + count) of all instances, and the bags they belong to.
/// Bag b owns the rows offsets[b] .. offsets[b + 1] - 1; a bag may begin before the chunk and end after it.
template <class Space = host_space>
struct bag_chunk {
  row_range rows;
  row_range bags;                                  ///< bags with at least one row in the chunk
  vector_view<const std::int64_t, Space> offsets;  ///< of the whole batch, [bags + 1]

  /// The rows of bag `bags.first + i`, counted from the chunk's first row.
  MILKIT_HD row_range segment(std::int64_t i) const {
    const std::int64_t begin = offsets(bags.first + i), end = offsets(bags.first + i + 1);
    const std::int64_t first = begin > rows.first ? begin : rows.first;
    const std::int64_t last = end < rows.first + rows.count ? end : rows.first + rows.count;
    return {first - rows.first, last - first};
  }
};

namespace detail {
template <class Backend>
struct segment_pool_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::segment_pool: no implementation for this backend here; include "
                "<milkit/ops/bags/segment_pool_cpu.hpp> "
                "for cpu or <milkit/ops/bags/segment_pool_cuda.cuh> for cuda");
};
/// Which step of which pooling `segment_pool_impl::run` is to do.
struct softmax_step {};
struct softmax_merge_step {};
struct softmax_finish_step {};
struct softmax_weights_step {};
struct softmax_dots_step {};
struct softmax_backward_step {};
struct sum_step {};
struct sum_merge_step {};
struct mean_finish_step {};
struct mean_weights_step {};
struct mean_backward_step {};
struct max_step {};
struct max_merge_step {};
struct max_finish_step {};
struct max_weights_step {};
struct max_backward_step {};

/// Throws shape_error unless `v` is a [rows, cols] matrix.
template <class View>
void expect_matrix(const char* op, const char* what, const View& v, std::int64_t rows, std::int64_t cols) {
  expect_shape(op, what, v, shape<2>{rows, cols});
}
template <class Space>
std::int64_t bags_of_batch(const bag_chunk<Space>& chunk) {
  return chunk.offsets.extent(0) - 1;
}
template <class Chunk, class Logits, class States>
void expect_softmax_states(const char* op, const Chunk& chunk, const Logits& logits, const States& states) {
  expect_matrix(op, "logits", logits, chunk.rows.count, 1);
  expect_extent(op, "rows of the states", states.rows(), bags_of_batch(chunk));
  if (states.cols() < 2)
    throw shape_error(message(op, ": columns of the states is ", states.cols(), ", expected 2 or more"));
}
template <class Backend, class... Views>
inline constexpr bool all_resident = (resident_on<Views, Backend> && ...);
}  // namespace detail

// Pooling of ragged bags, chunk by chunk. Each pooling is four steps: `x_pool` makes the states of the bags of one
// chunk, one row a bag, in double; `x_pool_merge` adds them to the states of all bags (in ascending order of chunks, so
// that the sums are the same at any thread count; they start as zeros); `x_pool_finish` makes the embeddings;
// `x_pool_backward` gives one chunk's gradients. Shapes: h [n, d] the chunk's instances, part [bags of the chunk, w],
// states [B, w], embedding and its gradient [B, d]. Errors: shape_error.

/// Softmax pooling, online (Milakov & Gimelshein 2018): the state of a bag is (peak, mass, sum_i exp(z_i - peak) h_i),
/// with peak = max z_i and mass = sum_i exp(z_i - peak), w = 2 + d; d may be 0, for the normaliser of a softmax alone.
/// z is one column of logits, [n]; one of -infinity has no mass, +infinity or NaN makes the mass NaN. No rows, or none
/// with mass: (-infinity, 0, 0), and the embedding of such a bag is NaN.
template <class Backend, class Instances, class Logits, class States>
requires(detail::all_resident<Backend, Instances, Logits, States>) void softmax_pool(
    Backend& backend, const bag_chunk<typename Backend::space>& chunk, Instances h, Logits logits, States part) {
  using T = typename Logits::value_type;
  constexpr const char* op = "milkit::ops::softmax_pool";
  expect_extent(op, "columns of the states", part.cols(), h.cols() + 2);
  expect_extent(op, "rows of the states", part.rows(), chunk.bags.count);
  expect_extent(op, "rows of h", h.rows(), chunk.rows.count);
  detail::expect_matrix(op, "logits", logits, chunk.rows.count, 1);
  execute<detail::segment_pool_impl>(backend, detail::softmax_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(h),
                                     matrix_view<const T, typename Backend::space>(logits), part);
}
template <class Backend, class States>
requires(detail::all_resident<Backend, States>) void softmax_pool_merge(Backend& backend, States part, States states) {
  expect_shape("milkit::ops::softmax_pool_merge", "part", part, states.shape());
  execute<detail::segment_pool_impl>(backend, detail::softmax_merge_step{}, part, states);
}
/// embedding_b = sum / mass.
template <class Backend, class States, class Embedding>
requires(detail::all_resident<Backend, States, Embedding>) void softmax_pool_finish(Backend& backend, States states,
                                                                                    Embedding embedding) {
  detail::expect_matrix("milkit::ops::softmax_pool_finish", "embedding", embedding, states.rows(), states.cols() - 2);
  execute<detail::segment_pool_impl>(backend, detail::softmax_finish_step{}, states, embedding);
}
/// a_i = exp(z_i - peak_b) / mass_b for the rows of a chunk; logits and attention [n, 1].
template <class Backend, class Logits, class States, class Attention>
requires(detail::all_resident<Backend, Logits, States, Attention>) void softmax_weights(
    Backend& backend, const bag_chunk<typename Backend::space>& chunk, Logits logits, States states,
    Attention attention) {
  using T = typename Attention::value_type;
  constexpr const char* op = "milkit::ops::softmax_weights";
  detail::expect_softmax_states(op, chunk, logits, states);
  detail::expect_matrix(op, "attention", attention, chunk.rows.count, 1);
  execute<detail::segment_pool_impl>(backend, detail::softmax_weights_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(logits), states, attention);
}
/// dots_b += sum_i a_i da_i over the rows of a chunk, for an upstream gradient da [n, 1] on the attention itself; to be
/// called in ascending order of chunks.
template <class Backend, class Logits, class States, class Dattention, class Dots>
requires(detail::all_resident<Backend, Logits, States, Dattention, Dots>) void softmax_dots(
    Backend& backend, const bag_chunk<typename Backend::space>& chunk, Logits logits, States states,
    Dattention dattention, Dots dots) {
  using T = typename Logits::value_type;
  constexpr const char* op = "milkit::ops::softmax_dots";
  detail::expect_softmax_states(op, chunk, logits, states);
  detail::expect_matrix(op, "dattention", dattention, chunk.rows.count, 1);
  expect_extent(op, "extent of dots", dots.extent(0), states.rows());
  execute<detail::segment_pool_impl>(backend, detail::softmax_dots_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(logits), states,
                                     matrix_view<const T, typename Backend::space>(dattention), dots);
}
/// dz_i = a_i (<dg_b, h_i - g_b> + da_i - dots_b) and dh_i = a_i dg_b, where g_b is the embedding as the states have
/// it. h, dembedding and dh are absent where there is no embedding; dattention is absent where it has no upstream
/// gradient.
template <class Backend, class Instances, class Logits, class States, class Dembedding, class Dattention, class Dots,
          class Dlogits, class Dh>
requires(detail::all_resident<Backend, Instances, Logits, States, Dembedding, Dattention, Dots, Dlogits,
                              Dh>) void softmax_pool_backward(Backend& backend,
                                                              const bag_chunk<typename Backend::space>& chunk,
                                                              Instances h, Logits logits, States states,
                                                              Dembedding dembedding, Dattention dattention, Dots dots,
                                                              Dlogits dlogits, Dh dh) {
  using T = typename Dlogits::value_type;
  using matrix = matrix_view<const T, typename Backend::space>;
  constexpr const char* op = "milkit::ops::softmax_pool_backward";
  const std::int64_t rows = chunk.rows.count, d = dembedding.cols();
  detail::expect_softmax_states(op, chunk, logits, states);
  detail::expect_matrix(op, "dlogits", dlogits, rows, 1);
  if (!dembedding.absent()) {
    detail::expect_matrix(op, "dembedding", dembedding, states.rows(), states.cols() - 2);
    detail::expect_matrix(op, "h", h, rows, d);
  }
  if (!dh.absent()) detail::expect_matrix(op, "dh", dh, rows, d);
  if (!dattention.absent()) detail::expect_matrix(op, "dattention", dattention, rows, 1);
  if (!dots.absent()) expect_extent(op, "extent of dots", dots.extent(0), states.rows());
  execute<detail::segment_pool_impl>(backend, detail::softmax_backward_step{}, chunk, matrix(h), matrix(logits), states,
                                     matrix(dembedding), matrix(dattention), dots, dlogits, dh);
}

/// Sums of rows, for the mean: the state is sum_i h_i, w = d.
template <class Backend, class Instances, class States>
requires(detail::all_resident<Backend, Instances, States>) void sum_pool(
    Backend& backend, const bag_chunk<typename Backend::space>& chunk, Instances h, States part) {
  using T = typename Instances::value_type;
  expect_extent("milkit::ops::sum_pool", "rows of h", h.rows(), chunk.rows.count);
  detail::expect_matrix("milkit::ops::sum_pool", "part", part, chunk.bags.count, h.cols());
  execute<detail::segment_pool_impl>(backend, detail::sum_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(h), part);
}
template <class Backend, class States>
requires(detail::all_resident<Backend, States>) void sum_pool_merge(Backend& backend, States part, States states) {
  expect_shape("milkit::ops::sum_pool_merge", "part", part, states.shape());
  execute<detail::segment_pool_impl>(backend, detail::sum_merge_step{}, part, states);
}
template <class Backend, class Offsets, class States, class Embedding>
requires(detail::all_resident<Backend, Offsets, States, Embedding>) void mean_pool_finish(Backend& backend,
                                                                                          Offsets offsets,
                                                                                          States states,
                                                                                          Embedding embedding) {
  expect_extent("milkit::ops::mean_pool_finish", "extent of offsets", offsets.extent(0), states.rows() + 1);
  expect_shape("milkit::ops::mean_pool_finish", "embedding", embedding, states.shape());
  execute<detail::segment_pool_impl>(backend, detail::mean_finish_step{}, offsets, states, embedding);
}
/// a_i = 1 / n_b, [n, 1].
template <class Backend, class Attention>
requires(detail::all_resident<Backend, Attention>) void mean_weights(Backend& backend,
                                                                     const bag_chunk<typename Backend::space>& chunk,
                                                                     Attention attention) {
  detail::expect_matrix("milkit::ops::mean_weights", "attention", attention, chunk.rows.count, 1);
  execute<detail::segment_pool_impl>(backend, detail::mean_weights_step{}, chunk, attention);
}
/// dh_i = dg_b / n_b.
template <class Backend, class Dembedding, class Dh>
requires(detail::all_resident<Backend, Dembedding, Dh>) void mean_pool_backward(
    Backend& backend, const bag_chunk<typename Backend::space>& chunk, Dembedding dembedding, Dh dh) {
  using T = typename Dh::value_type;
  constexpr const char* op = "milkit::ops::mean_pool_backward";
  expect_extent(op, "rows of dembedding", dembedding.rows(), detail::bags_of_batch(chunk));
  detail::expect_matrix(op, "dh", dh, chunk.rows.count, dembedding.cols());
  execute<detail::segment_pool_impl>(backend, detail::mean_backward_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(dembedding), dh);
}

/// Maximum over instances, column by column: the state is d values and d indices (1 + the row in the
/// batch; 0: none yet), w = 2 d. Ties go to the lower index, a NaN is larger than any number.
template <class Backend, class Instances, class States>
requires(detail::all_resident<Backend, Instances, States>) void max_pool(
    Backend& backend, const bag_chunk<typename Backend::space>& chunk, Instances h, States part) {
  using T = typename Instances::value_type;
  expect_extent("milkit::ops::max_pool", "rows of h", h.rows(), chunk.rows.count);
  detail::expect_matrix("milkit::ops::max_pool", "part", part, chunk.bags.count, 2 * h.cols());
  execute<detail::segment_pool_impl>(backend, detail::max_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(h), part);
}
template <class Backend, class States>
requires(detail::all_resident<Backend, States>) void max_pool_merge(Backend& backend, States part, States states) {
  expect_shape("milkit::ops::max_pool_merge", "part", part, states.shape());
  execute<detail::segment_pool_impl>(backend, detail::max_merge_step{}, part, states);
}
template <class Backend, class States, class Embedding>
requires(detail::all_resident<Backend, States, Embedding>) void max_pool_finish(Backend& backend, States states,
                                                                                Embedding embedding) {
  detail::expect_matrix("milkit::ops::max_pool_finish", "states", states, embedding.rows(), 2 * embedding.cols());
  execute<detail::segment_pool_impl>(backend, detail::max_finish_step{}, states, embedding);
}
/// a_i = the share of columns in which row i is the maximum, [n, 1].
template <class Backend, class States, class Attention>
requires(detail::all_resident<Backend, States, Attention>) void max_weights(
    Backend& backend, const bag_chunk<typename Backend::space>& chunk, States states, Attention attention) {
  expect_extent("milkit::ops::max_weights", "rows of the states", states.rows(), detail::bags_of_batch(chunk));
  detail::expect_matrix("milkit::ops::max_weights", "attention", attention, chunk.rows.count, 1);
  execute<detail::segment_pool_impl>(backend, detail::max_weights_step{}, chunk, states, attention);
}
/// dh[i, j] = dg_b[j] where i is the index of column j's maximum, else 0.
template <class Backend, class States, class Dembedding, class Dh>
requires(detail::all_resident<Backend, States, Dembedding, Dh>) void max_pool_backward(
    Backend& backend, const bag_chunk<typename Backend::space>& chunk, States states, Dembedding dembedding, Dh dh) {
  using T = typename Dh::value_type;
  constexpr const char* op = "milkit::ops::max_pool_backward";
  detail::expect_matrix(op, "states", states, detail::bags_of_batch(chunk), 2 * dh.cols());
  detail::expect_matrix(op, "dembedding", dembedding, states.rows(), dh.cols());
  expect_extent(op, "rows of dh", dh.rows(), chunk.rows.count);
  execute<detail::segment_pool_impl>(backend, detail::max_backward_step{}, chunk, states,
                                     matrix_view<const T, typename Backend::space>(dembedding), dh);
}

}  // namespace milkit::ops
