#pragma once

#include <cmath>

#include <milkit/ops/bags/segment_pool/tiles_cuda.cuh>

namespace milkit::ops::detail {

/// part -> states, one block a bag; `Merge` sees columns one by one, and what the first two say of both.
struct softmax_merge_kernel {
  static constexpr int threads = 256;
  device_matrix<double> part, states;

  __device__ void operator()() const {
    using std::exp;
    const std::int64_t i = blockIdx.x;
    const double peak = part(i, 0), mass = part(i, 1), old_peak = states(i, 0), old_mass = states(i, 1);
    __syncthreads();        // everybody has read what the first threads now write
    if (mass == 0) return;  // the empty state is the identity: never evaluates (-inf) - (-inf)
    const double top = larger_number()(old_peak, peak);
    const double keep = old_mass == 0 ? 0.0 : exp(old_peak - top), add = old_mass == 0 ? 1.0 : exp(peak - top);
    for (std::int64_t j = threadIdx.x; j < part.cols(); j += threads)
      states(i, j) =
          j == 0 ? (old_mass == 0 ? peak : top) : (old_mass == 0 ? 0.0 : keep * states(i, j)) + add * part(i, j);
  }
};

template <class T>
struct softmax_finish_element {
  device_matrix<const double> states;
  device_matrix<T> embedding;
  __device__ void operator()(std::int64_t b, std::int64_t j) const {
    embedding(b, j) = static_cast<T>(states(b, 2 + j) / states(b, 1));
  }
};

template <class T>
__device__ T softmax_weight(T logit, const double* state) {
  using std::exp;
  return exp(logit - static_cast<T>(state[0])) / static_cast<T>(state[1]);
}

template <class T>
struct softmax_weights_element {
  bag_chunk<device_space> chunk;
  device_matrix<const T> logits;
  device_matrix<double> states;
  device_matrix<T> attention;
  __device__ void operator()(std::int64_t r, std::int64_t) const {
    attention(r, 0) = softmax_weight(logits(r, 0), states.row(bag_of_row(chunk, r)));
  }
};

/// dots += sum a da: one block a slot, one row a thread; then one block a bag.
template <class T>
struct softmax_dots_tile_kernel {
  static constexpr int threads = tile_rows;
  bag_chunk<device_space> chunk;
  device_matrix<const T> logits;
  device_matrix<double> states;
  device_matrix<const T> dattention;
  device_vector<double> tiles;

  __device__ void operator()() const {
    const std::int64_t slot = blockIdx.x, i = tile_slot::bag_of(chunk, slot);
    const row_range rows = tile_slot::rows_of(chunk, slot, i);
    const std::int64_t r = rows.first + threadIdx.x;
    const T term = r < rows.first + rows.count
                       ? softmax_weight(logits(r, 0), states.row(chunk.bags.first + i)) * dattention(r, 0)
                       : T(0);
    const double sum = block_sum<threads>(static_cast<double>(term));
    if (threadIdx.x == 0) tiles(slot) = sum;
  }
};
struct softmax_dots_kernel {
  static constexpr int threads = 128;
  bag_chunk<device_space> chunk;
  device_vector<double> tiles, dots;

  __device__ void operator()() const {
    const tile_slot slots(chunk, blockIdx.x);
    double sum = 0;
    for (std::int64_t s = slots.first + threadIdx.x; s <= slots.last; s += threads) sum += tiles(s);
    sum = block_sum<threads>(sum);
    if (threadIdx.x == 0) dots(chunk.bags.first + blockIdx.x) += sum;
  }
};
/// shifts = <dg, g> + dots: one block a bag.
template <class T>
struct softmax_shifts_kernel {
  static constexpr int threads = 256;
  bag_chunk<device_space> chunk;
  device_matrix<double> states;
  device_matrix<const T> dembedding;
  device_vector<double> dots, shifts;

  __device__ void operator()() const {
    const std::int64_t i = blockIdx.x, bag = chunk.bags.first + i;
    double sum = 0;
    for (std::int64_t j = threadIdx.x; j < dembedding.cols(); j += threads)
      sum += static_cast<double>(dembedding(bag, j)) * states(bag, 2 + j);
    sum = block_sum<threads>(sum);
    if (threadIdx.x == 0) shifts(i) = sum / states(bag, 1) + (dots.absent() ? 0.0 : dots(bag));
  }
};

/// One warp a row.
template <class T>
struct softmax_backward_kernel {
  static constexpr int threads = 128;
  bag_chunk<device_space> chunk;
  device_matrix<const T> h, logits;
  device_matrix<double> states;
  device_matrix<const T> dembedding, dattention;
  device_vector<double> shifts;
  device_matrix<T> dlogits, dh;

  __device__ void operator()() const {
    const std::int64_t r = grid_position::thread() / 32, lane = threadIdx.x % 32;
    if (r >= chunk.rows.count) return;
    const std::int64_t bag = bag_of_row(chunk, r);
    const T a = softmax_weight(logits(r, 0), states.row(bag));
    const std::int64_t terms = dembedding.absent() ? 0 : h.cols();
    const double dot =
        warp_sum(blocked_sum(lane, terms, 32, [&](std::int64_t j) { return dembedding(bag, j) * h(r, j); }));
    const double upstream = dot + (dattention.absent() ? 0.0 : static_cast<double>(dattention(r, 0)));
    if (lane == 0) dlogits(r, 0) = a * static_cast<T>(upstream - shifts(bag - chunk.bags.first));
    if (dh.absent()) return;
    for (std::int64_t j = lane; j < dh.cols(); j += 32) dh(r, j) = a * dembedding(bag, j);
  }
};

template <class T>
struct mean_finish_element {
  device_vector<const std::int64_t> offsets;
  device_matrix<const double> states;
  device_matrix<T> embedding;
  __device__ void operator()(std::int64_t b, std::int64_t j) const {
    embedding(b, j) = static_cast<T>(states(b, j) / static_cast<double>(offsets(b + 1) - offsets(b)));
  }
};
/// The share of one row in its bag's mean, or that share of the embedding's gradient.
template <class T>
struct mean_share_element {
  bag_chunk<device_space> chunk;
  device_matrix<const T> dembedding;  ///< absent: 1
  device_matrix<T> out;
  __device__ void operator()(std::int64_t r, std::int64_t j) const {
    const std::int64_t bag = bag_of_row(chunk, r);
    const T share = T(1) / static_cast<T>(chunk.offsets(bag + 1) - chunk.offsets(bag));
    out(r, j) = dembedding.absent() ? share : share * dembedding(bag, j);
  }
};

struct max_merge_element {
  device_matrix<double> part, states;
  __device__ void operator()(std::int64_t i, std::int64_t j) const {
    const std::int64_t d = part.cols() / 2;
    if (states(i, d + j) != 0 && !larger_or_nan(part(i, j), states(i, j))) return;
    states(i, j) = part(i, j);
    states(i, d + j) = part(i, d + j);
  }
};
template <class T>
struct max_finish_element {
  device_matrix<const double> states;
  device_matrix<T> embedding;
  __device__ void operator()(std::int64_t b, std::int64_t j) const { embedding(b, j) = static_cast<T>(states(b, j)); }
};
/// One warp a row counts the columns that it is the maximum of.
template <class T>
struct max_weights_kernel {
  static constexpr int threads = 128;
  bag_chunk<device_space> chunk;
  device_matrix<double> states;
  device_matrix<T> attention;

  __device__ void operator()() const {
    const std::int64_t r = grid_position::thread() / 32, lane = threadIdx.x % 32, d = states.cols() / 2;
    if (r >= chunk.rows.count) return;
    const double* index = states.row(bag_of_row(chunk, r)) + d;
    int count = 0;
    for (std::int64_t j = lane; j < d; j += 32)
      count += index[j] == static_cast<double>(chunk.rows.first + r + 1) ? 1 : 0;
    count = warp_sum(count);
    if (lane == 0) attention(r, 0) = static_cast<T>(count) / static_cast<T>(d);
  }
};
template <class T>
struct max_backward_element {
  bag_chunk<device_space> chunk;
  device_matrix<const double> states;
  device_matrix<const T> dembedding;
  device_matrix<T> dh;
  __device__ void operator()(std::int64_t r, std::int64_t j) const {
    const std::int64_t bag = bag_of_row(chunk, r);
    dh(r, j) = states(bag, dh.cols() + j) == static_cast<double>(chunk.rows.first + r + 1) ? dembedding(bag, j) : T(0);
  }
};

template <>
struct segment_pool_impl<cuda> {
  using chunk_type = bag_chunk<device_space>;
  using states_view = device_matrix<double>;

  template <class Step, class H, class... Args>
  static states_view scratch(cuda& backend, Step, const chunk_type& chunk, H, Args... args) requires
      std::same_as<Step, softmax_step> || std::same_as<Step, sum_step> || std::same_as<Step, max_step> {
    const std::int64_t width = last_of(args...).cols();
    return backend.workspace.template allocate<double>(shape<2>{tile_slots(chunk), width});
  }
  template <class... Args>
  static device_vector<double> scratch(cuda& backend, softmax_dots_step, const chunk_type& chunk, Args...) {
    return backend.workspace.template allocate<double>(tile_slots(chunk));
  }
  template <class... Args>
  static device_vector<double> scratch(cuda& backend, softmax_backward_step, const chunk_type& chunk, Args...) {
    return backend.workspace.template allocate<double>(chunk.bags.count);
  }
  template <class Step, class... Args>
  static int scratch(cuda&, Step, Args...) {
    return 0;
  }

  template <class T>
  static void run(cuda& backend, states_view tiles, softmax_step, const chunk_type& chunk, device_matrix<const T> h,
                  device_matrix<const T> logits, states_view part) {
    pool_tiles<softmax_tile>(backend, chunk, h, logits, tiles, part);
  }
  static void run(cuda& backend, int, softmax_merge_step, states_view part, states_view states) {
    launch(backend, {part.rows()}, softmax_merge_kernel{part, states});
  }
  template <class T>
  static void run(cuda& backend, int, softmax_finish_step, states_view states, device_matrix<T> embedding) {
    for_each_element(backend, embedding.rows(), embedding.cols(), softmax_finish_element<T>{states, embedding});
  }
  template <class T>
  static void run(cuda& backend, int, softmax_weights_step, const chunk_type& chunk, device_matrix<const T> logits,
                  states_view states, device_matrix<T> attention) {
    for_each_element(backend, chunk.rows.count, 1, softmax_weights_element<T>{chunk, logits, states, attention});
  }
  template <class T>
  static void run(cuda& backend, device_vector<double> tiles, softmax_dots_step, const chunk_type& chunk,
                  device_matrix<const T> logits, states_view states, device_matrix<const T> dattention,
                  device_vector<double> dots) {
    launch(backend, {tiles.extent(0)}, softmax_dots_tile_kernel<T>{chunk, logits, states, dattention, tiles});
    launch(backend, {chunk.bags.count}, softmax_dots_kernel{chunk, tiles, dots});
  }
  template <class T>
  static void run(cuda& backend, device_vector<double> shifts, softmax_backward_step, const chunk_type& chunk,
                  device_matrix<const T> h, device_matrix<const T> logits, states_view states,
                  device_matrix<const T> dembedding, device_matrix<const T> dattention, device_vector<double> dots,
                  device_matrix<T> dlogits, device_matrix<T> dh) {
    using kernel = softmax_backward_kernel<T>;
    launch(backend, {chunk.bags.count}, softmax_shifts_kernel<T>{chunk, states, dembedding, dots, shifts});
    launch(backend, {chunk_count(chunk.rows.count, kernel::threads / 32)},
           kernel{chunk, h, logits, states, dembedding, dattention, shifts, dlogits, dh});
  }

  template <class T>
  static void run(cuda& backend, states_view tiles, sum_step, const chunk_type& chunk, device_matrix<const T> h,
                  states_view part) {
    pool_tiles<sum_tile>(backend, chunk, h, device_matrix<const T>(), tiles, part);
  }
  static void run(cuda& backend, int, sum_merge_step, states_view part, states_view states) {
    map(backend, sum_of_two(), states, device_matrix<const double>(states), device_matrix<const double>(part));
  }
  template <class T>
  static void run(cuda& backend, int, mean_finish_step, device_vector<const std::int64_t> offsets, states_view states,
                  device_matrix<T> embedding) {
    for_each_element(backend, embedding.rows(), embedding.cols(), mean_finish_element<T>{offsets, states, embedding});
  }
  template <class T>
  static void run(cuda& backend, int, mean_weights_step, const chunk_type& chunk, device_matrix<T> attention) {
    for_each_element(backend, chunk.rows.count, 1, mean_share_element<T>{chunk, {}, attention});
  }
  template <class T>
  static void run(cuda& backend, int, mean_backward_step, const chunk_type& chunk, device_matrix<const T> dembedding,
                  device_matrix<T> dh) {
    for_each_element(backend, chunk.rows.count, dh.cols(), mean_share_element<T>{chunk, dembedding, dh});
  }

  template <class T>
  static void run(cuda& backend, states_view tiles, max_step, const chunk_type& chunk, device_matrix<const T> h,
                  states_view part) {
    pool_tiles<max_tile>(backend, chunk, h, device_matrix<const T>(), tiles, part);
  }
  static void run(cuda& backend, int, max_merge_step, states_view part, states_view states) {
    for_each_element(backend, part.rows(), part.cols() / 2, max_merge_element{part, states});
  }
  template <class T>
  static void run(cuda& backend, int, max_finish_step, states_view states, device_matrix<T> embedding) {
    for_each_element(backend, embedding.rows(), embedding.cols(), max_finish_element<T>{states, embedding});
  }
  template <class T>
  static void run(cuda& backend, int, max_weights_step, const chunk_type& chunk, states_view states,
                  device_matrix<T> attention) {
    using kernel = max_weights_kernel<T>;
    launch(backend, {chunk_count(chunk.rows.count, kernel::threads / 32)}, kernel{chunk, states, attention});
  }
  template <class T>
  static void run(cuda& backend, int, max_backward_step, const chunk_type& chunk, states_view states,
                  device_matrix<const T> dembedding, device_matrix<T> dh) {
    for_each_element(backend, chunk.rows.count, dh.cols(), max_backward_element<T>{chunk, states, dembedding, dh});
  }

 private:
  static states_view last_of(states_view part) { return part; }
  template <class First>
  static states_view last_of(First, states_view part) {
    return part;
  }
};

}  // namespace milkit::ops::detail
