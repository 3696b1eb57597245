#pragma once

#include <cmath>

#include <milkit/core/launch.cuh>
#include <milkit/ops/softmax.hpp>

namespace milkit::ops::detail {

/// The rows of a matrix, or the segments of a vector: `sum` counts them.
template <class T>
struct softmax_rows_of {
  T* data;
  std::int64_t row_stride, step, cols;
  device_vector<const std::int64_t> offsets;  ///< absent for rows

  softmax_rows_of(device_matrix<T> m) : data(m.data()), row_stride(m.stride()), step(1), cols(m.cols()) {}
  softmax_rows_of(device_vector<T> v, device_vector<const std::int64_t> o) : data(v.data()), row_stride(0), step(v.stride()), cols(0), offsets(o) {}

  __device__ std::int64_t count(std::int64_t sum) const { return offsets.absent() ? cols : offsets(sum + 1) - offsets(sum); }
  /// Where element j of a row or segment is, in this or in another array with strides of its own.
  __device__ std::int64_t at(std::int64_t sum, std::int64_t j) const {
    return offsets.absent() ? sum * row_stride + j : (offsets(sum) + j) * step;
  }
};
/// Who works on a row or segment: a warp, or a block of eight.
template <bool Warp>
struct row_team {
  static constexpr int threads = Warp ? 128 : 256, members = Warp ? 32 : threads;
  static constexpr std::int64_t most_columns = 1024;  ///< of a warp

  __device__ static std::int64_t row() { return grid_position::thread() / members; }
  __device__ static std::int64_t member() { return static_cast<std::int64_t>(threadIdx.x) % members; }
  template <class V, class Combine>
  __device__ static V combine(V value, Combine combine) {
    if constexpr (Warp) return warp_combine(value, combine);
    else return block_combine<threads>(value, combine);
  }
};

template <class Team, class T>
struct softmax_kernel {
  static constexpr int threads = Team::threads;
  softmax_rows_of<const T> x;
  softmax_rows_of<T> y;
  device_vector<T> log_sum_exp;
  std::int64_t rows;

  __device__ void operator()() const {
    using std::exp;
    using std::isinf;
    using std::log;
    const std::int64_t sum = Team::row(), first = Team::member();
    if (sum >= rows) return;
    const std::int64_t count = x.count(sum);
    T peak = -static_cast<T>(HUGE_VAL);
    for (std::int64_t j = first; j < count; j += Team::members) peak = larger_number()(peak, x.data[x.at(sum, j)]);
    peak = Team::combine(peak, larger_number());
    const T shift = isinf(peak) ? T(0) : peak;
    const auto share = [&](std::int64_t j) { return exp(x.data[x.at(sum, j)] - shift); };
    const double mass = Team::combine(blocked_sum(first, count, Team::members, share), sum_of_two());
    if (y.data) {
      const T scale = mass == 0 ? T(0) : static_cast<T>(1 / mass);
      for (std::int64_t j = first; j < count; j += Team::members) {
        const T value = share(j) * scale;
        y.data[y.at(sum, j)] = peak > shift ? static_cast<T>(HUGE_VAL) - static_cast<T>(HUGE_VAL) : value;
      }
    }
    if (first == 0 && !log_sum_exp.absent()) log_sum_exp(sum) = static_cast<T>(static_cast<double>(shift) + log(mass));
  }
};

template <class Team, class T>
struct softmax_rows_backward_kernel {
  static constexpr int threads = Team::threads;
  softmax_rows_of<const T> y, dy;
  device_vector<const T> dlog_sum_exp;
  softmax_rows_of<T> dx;
  std::int64_t rows;

  __device__ void operator()() const {
    const std::int64_t sum = Team::row(), first = Team::member();
    if (sum >= rows) return;
    const std::int64_t count = y.count(sum), terms = dy.data ? count : 0;
    const auto term = [&](std::int64_t j) { return dy.data[dy.at(sum, j)] * y.data[y.at(sum, j)]; };
    const double dot = Team::combine(blocked_sum(first, terms, Team::members, term), sum_of_two());
    const T shift = static_cast<T>((dlog_sum_exp.absent() ? 0.0 : static_cast<double>(dlog_sum_exp(sum))) - dot);
    for (std::int64_t j = first; j < count; j += Team::members) {
      const T upstream = dy.data ? dy.data[dy.at(sum, j)] : T(0);
      dx.data[dx.at(sum, j)] = y.data[y.at(sum, j)] * (upstream + shift);
    }
  }
};

/// Launches a kernel for each row, by warps where rows are short.
template <template <class, class> class Kernel, class T, class... Args>
void launch_rows(cuda& backend, std::int64_t rows, std::int64_t cols, const Args&... args) {
  const auto with = [&]<class Team>(Team) {
    launch(backend, {chunk_count(rows, Team::threads / Team::members)}, Kernel<Team, T>{args..., rows});
  };
  if (cols <= row_team<true>::most_columns) with(row_team<true>());
  else with(row_team<false>());
}

template <>
struct softmax_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> x, device_matrix<T> y, device_vector<T> log_sum_exp) {
    launch_rows<softmax_kernel, T>(backend, x.rows(), x.cols(), softmax_rows_of<const T>(x), softmax_rows_of<T>(y), log_sum_exp);
  }
  template <class T>
  static void run(cuda& backend, device_vector<const std::int64_t> offsets, device_vector<const T> x, device_vector<T> y,
                  device_vector<T> log_sum_exp) {
    const std::int64_t segments = offsets.extent(0) - 1;
    launch(backend, {segments}, softmax_kernel<row_team<false>, T>{{x, offsets}, {y, offsets}, log_sum_exp, segments});
  }
};

template <>
struct softmax_backward_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> y, device_matrix<const T> dy, device_vector<const T> dlog_sum_exp, device_matrix<T> dx) {
    launch_rows<softmax_rows_backward_kernel, T>(backend, y.rows(), y.cols(), softmax_rows_of<const T>(y), softmax_rows_of<const T>(dy),
                                                 dlog_sum_exp, softmax_rows_of<T>(dx));
  }
  template <class T>
  static void run(cuda& backend, device_vector<const std::int64_t> offsets, device_vector<const T> y, device_vector<const T> dy,
                  device_vector<const T> dlog_sum_exp, device_vector<T> dx) {
    const std::int64_t segments = offsets.extent(0) - 1;
    launch(backend, {segments},
           softmax_rows_backward_kernel<row_team<false>, T>{{y, offsets}, {dy, offsets}, dlog_sum_exp, {dx, offsets}, segments});
  }
};

}  // namespace milkit::ops::detail
