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
  static_assert(
      dependent_false<Backend>,
      "milkit::ops::segment_pool: no implementation for this backend here; include <milkit/ops/segment_pool_cpu.hpp> "
      "for cpu or <milkit/ops/segment_pool_cuda.cuh> for cuda");
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
}  // namespace detail

// Pooling of ragged bags, chunk by chunk. Each pooling is four steps: `x_pool` makes the states of the bags of one
// chunk, one row a bag, in double; `x_pool_merge` adds them to the states of all bags (in ascending order of chunks, so
// that the sums are the same at any thread count; they start as zeros); `x_pool_finish` makes the embeddings;
// `x_pool_backward` gives one chunk's gradients. Shapes: h [n, d] the chunk's instances, part [bags of the chunk, w],
// states [B, w], embedding and its gradient [B, d].

/// Softmax pooling, online (Milakov & Gimelshein 2018): the state of a bag is (peak, mass, sum_i exp(z_i - peak) h_i),
/// with peak = max z_i and mass = sum_i exp(z_i - peak), w = 2 + d; d may be 0, for the normaliser of a softmax alone.
/// z is one column of logits, [n]; one of -infinity has no mass, +infinity or NaN makes the mass NaN. No rows, or none
/// with mass: (-infinity, 0, 0), and the embedding of such a bag is NaN.
template <class Backend, class Instances, class Logits, class States>
void softmax_pool(Backend& backend, const bag_chunk<typename Backend::space>& chunk, Instances h, Logits logits,
                  States part) {
  using T = typename Logits::value_type;
  expect_extent("milkit::ops::softmax_pool", "columns of the states", part.cols(), h.cols() + 2);
  execute<detail::segment_pool_impl>(backend, detail::softmax_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(h),
                                     matrix_view<const T, typename Backend::space>(logits), part);
}
template <class Backend, class States>
void softmax_pool_merge(Backend& backend, States part, States states) {
  execute<detail::segment_pool_impl>(backend, detail::softmax_merge_step{}, part, states);
}
/// embedding_b = sum / mass.
template <class Backend, class States, class Embedding>
void softmax_pool_finish(Backend& backend, States states, Embedding embedding) {
  execute<detail::segment_pool_impl>(backend, detail::softmax_finish_step{}, states, embedding);
}
/// a_i = exp(z_i - peak_b) / mass_b for the rows of a chunk; logits and attention [n, 1].
template <class Backend, class Logits, class States, class Attention>
void softmax_weights(Backend& backend, const bag_chunk<typename Backend::space>& chunk, Logits logits, States states,
                     Attention attention) {
  using T = typename Attention::value_type;
  execute<detail::segment_pool_impl>(backend, detail::softmax_weights_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(logits), states, attention);
}
/// dots_b += sum_i a_i da_i over the rows of a chunk, for an upstream gradient da [n, 1] on the attention itself; to be
/// called in ascending order of chunks.
template <class Backend, class Logits, class States, class Dattention, class Dots>
void softmax_dots(Backend& backend, const bag_chunk<typename Backend::space>& chunk, Logits logits, States states,
                  Dattention dattention, Dots dots) {
  using T = typename Logits::value_type;
  execute<detail::segment_pool_impl>(backend, detail::softmax_dots_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(logits), states,
                                     matrix_view<const T, typename Backend::space>(dattention), dots);
}
/// dz_i = a_i (<dg_b, h_i - g_b> + da_i - dots_b) and dh_i = a_i dg_b, where g_b is the embedding as the states have
/// it. h, dembedding and dh are absent where there is no embedding; dattention is absent where it has no upstream
/// gradient.
template <class Backend, class Instances, class Logits, class States, class Dembedding, class Dattention, class Dots,
          class Dlogits, class Dh>
void softmax_pool_backward(Backend& backend, const bag_chunk<typename Backend::space>& chunk, Instances h,
                           Logits logits, States states, Dembedding dembedding, Dattention dattention, Dots dots,
                           Dlogits dlogits, Dh dh) {
  using T = typename Dlogits::value_type;
  using matrix = matrix_view<const T, typename Backend::space>;
  execute<detail::segment_pool_impl>(backend, detail::softmax_backward_step{}, chunk, matrix(h), matrix(logits), states,
                                     matrix(dembedding), matrix(dattention), dots, dlogits, dh);
}

/// Sums of rows, for the mean: the state is sum_i h_i, w = d.
template <class Backend, class Instances, class States>
void sum_pool(Backend& backend, const bag_chunk<typename Backend::space>& chunk, Instances h, States part) {
  using T = typename Instances::value_type;
  execute<detail::segment_pool_impl>(backend, detail::sum_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(h), part);
}
template <class Backend, class States>
void sum_pool_merge(Backend& backend, States part, States states) {
  execute<detail::segment_pool_impl>(backend, detail::sum_merge_step{}, part, states);
}
template <class Backend, class Offsets, class States, class Embedding>
void mean_pool_finish(Backend& backend, Offsets offsets, States states, Embedding embedding) {
  execute<detail::segment_pool_impl>(backend, detail::mean_finish_step{}, offsets, states, embedding);
}
/// a_i = 1 / n_b, [n, 1].
template <class Backend, class Attention>
void mean_weights(Backend& backend, const bag_chunk<typename Backend::space>& chunk, Attention attention) {
  execute<detail::segment_pool_impl>(backend, detail::mean_weights_step{}, chunk, attention);
}
/// dh_i = dg_b / n_b.
template <class Backend, class Dembedding, class Dh>
void mean_pool_backward(Backend& backend, const bag_chunk<typename Backend::space>& chunk, Dembedding dembedding,
                        Dh dh) {
  using T = typename Dh::value_type;
  execute<detail::segment_pool_impl>(backend, detail::mean_backward_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(dembedding), dh);
}

/// Maximum over instances, column by column: the state is d values and d indices (1 + the row in the
/// batch; 0: none yet), w = 2 d. Ties go to the lower index, a NaN is larger than any number.
template <class Backend, class Instances, class States>
void max_pool(Backend& backend, const bag_chunk<typename Backend::space>& chunk, Instances h, States part) {
  using T = typename Instances::value_type;
  execute<detail::segment_pool_impl>(backend, detail::max_step{}, chunk,
                                     matrix_view<const T, typename Backend::space>(h), part);
}
template <class Backend, class States>
void max_pool_merge(Backend& backend, States part, States states) {
  execute<detail::segment_pool_impl>(backend, detail::max_merge_step{}, part, states);
}
template <class Backend, class States, class Embedding>
void max_pool_finish(Backend& backend, States states, Embedding embedding) {
  execute<detail::segment_pool_impl>(backend, detail::max_finish_step{}, states, embedding);
}
/// a_i = the share of columns in which row i is the maximum, [n, 1].
template <class Backend, class States, class Attention>
void max_weights(Backend& backend, const bag_chunk<typename Backend::space>& chunk, States states,
                 Attention attention) {
  execute<detail::segment_pool_impl>(backend, detail::max_weights_step{}, chunk, states, attention);
}
/// dh[i, j] = dg_b[j] where i is the index of column j's maximum, else 0.
template <class Backend, class States, class Dembedding, class Dh>
void max_pool_backward(Backend& backend, const bag_chunk<typename Backend::space>& chunk, States states,
                       Dembedding dembedding, Dh dh) {
  using T = typename Dh::value_type;
  execute<detail::segment_pool_impl>(backend, detail::max_backward_step{}, chunk, states,
                                     matrix_view<const T, typename Backend::space>(dembedding), dh);
}

}  // namespace milkit::ops
