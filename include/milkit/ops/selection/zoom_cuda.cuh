#pragma once

#include <milkit/ops/rows/fill_cuda.cuh>
#include <milkit/ops/selection/topk_cuda.cuh>
#include <milkit/ops/selection/zoom.hpp>

namespace milkit::ops::detail {

/// One block a row of the output, one thread a column.
template <class T, class Children>
struct zoom_rows_kernel {
  static constexpr int threads = 256;
  selection<T, device_space> selected;
  Children index;
  device_matrix<const T> h;
  device_matrix<T> out;
  wanted_rows<device_space> wanted;

  __device__ void operator()() const {
    const std::int64_t q = blockIdx.x, k = q / index.width, j = q % index.width;
    if (!wanted(q)) return;
    const std::int64_t first = selected.offsets(k), end = selected.offsets(k + 1);
    for (std::int64_t d = threadIdx.x; d < out.cols(); d += threads) {
      T sum = 0;
      for (std::int64_t e = first; e < end; ++e)
        if (const std::int64_t row = index.row(selected.columns(e), j); row >= 0)
          sum += selected.weights(e) * h(row, d);
      out(q, d) = sum;
    }
  }
};

/// The row of T that non-zero e is in.
template <class T>
__device__ std::int64_t row_of(const selection<T, device_space>& selected, std::int64_t e) {
  std::int64_t low = 0, high = selected.rows() - 1;
  while (low < high) {
    const std::int64_t middle = (low + high + 1) / 2;
    if (selected.offsets(middle) <= e) low = middle;
    else high = middle - 1;
  }
  return low;
}

/// One warp a non-zero of T.
template <class T, class Children>
struct zoom_dweights_kernel {
  static constexpr int threads = 128;
  selection<T, device_space> selected;
  Children index;
  device_matrix<const T> h, dout;
  device_vector<T> dweights;
  wanted_rows<device_space> wanted;

  __device__ void operator()() const {
    const std::int64_t e = grid_position::thread() / 32, lane = threadIdx.x % 32;
    if (e >= selected.offsets(selected.rows())) return;
    const std::int64_t k = row_of(selected, e);
    double sum = 0;
    for (std::int64_t j = 0; j < index.width; ++j) {
      const std::int64_t q = k * index.width + j, row = index.row(selected.columns(e), j);
      if (row < 0 || !wanted(q)) continue;
      for (std::int64_t d = lane; d < h.cols(); d += 32)
        sum += static_cast<double>(dout(q, d)) * static_cast<double>(h(row, d));
    }
    sum = warp_sum(sum);
    if (lane == 0) dweights(e) = static_cast<T>(sum);
  }
};

/// One block a parent (x) and child (y) gathers from the rows of T that selected the parent, so that nothing is added to twice.
template <class T, class Children>
struct zoom_dchildren_kernel {
  static constexpr int threads = 256;
  selection<T, device_space> selected;
  Children index;
  device_matrix<const T> dout;
  device_matrix<T> dh;
  wanted_rows<device_space> wanted;

  __device__ void operator()() const {
    const std::int64_t n = blockIdx.x, j = blockIdx.y, row = index.row(n, j);
    if (row < 0) return;
    for (std::int64_t d = threadIdx.x; d < dh.cols(); d += threads) {
      T sum = 0;
      for (std::int64_t k = 0; k < selected.rows(); ++k) {
        std::int64_t low = selected.offsets(k), high = selected.offsets(k + 1);
        const std::int64_t end = high;
        while (low < high) {
          const std::int64_t middle = (low + high) / 2;
          if (selected.columns(middle) < n) low = middle + 1;
          else high = middle;
        }
        const std::int64_t q = k * index.width + j;
        if (low < end && selected.columns(low) == n && wanted(q)) sum += selected.weights(low) * dout(q, d);
      }
      dh(row, d) = sum;
    }
  }
};

template <class T, class Children>
struct zoom_mass_element {
  selection<T, device_space> selected;
  Children index;
  device_vector<T> mass;
  __device__ void operator()(std::int64_t k, std::int64_t j) const {
    double sum = 0;
    for (std::int64_t e = selected.offsets(k); e < selected.offsets(k + 1); ++e)
      if (index.row(selected.columns(e), j) >= 0) sum += static_cast<double>(selected.weights(e));
    mass(k * index.width + j) = static_cast<T>(sum);
  }
};

template <class T>
struct mark_columns_element {
  selection<T, device_space> selected;
  device_vector<std::uint8_t> used;
  __device__ void operator()(std::int64_t e, std::int64_t) const {
    if (e < selected.offsets(selected.rows())) used(selected.columns(e)) = 1;
  }
};

/// One block for all parents.
template <class Children>
struct child_rows_kernel {
  static constexpr int threads = 256;
  device_vector<const std::int32_t> columns;
  Children index;
  device_vector<std::int64_t> offsets, rows;
  __device__ void operator()() const {
    std::int64_t before = 0;
    for (std::int64_t first = 0; first < columns.extent(0); first += threads) {
      const std::int64_t k = first + threadIdx.x;
      std::uint32_t own = 0, total = 0;
      for (std::int64_t j = 0; k < columns.extent(0) && j < index.width; ++j)
        own += index.row(columns(k), j) >= 0 ? 1u : 0u;
      std::int64_t at = before + sum_before<threads>(own, total);
      before += total;
      if (k >= columns.extent(0)) continue;
      offsets(k) = at;
      for (std::int64_t j = 0; j < index.width; ++j)
        if (const std::int64_t row = index.row(columns(k), j); row >= 0) rows(at++) = row;
    }
    if (threadIdx.x == 0) offsets(columns.extent(0)) = before;
  }
};

template <class T>
struct gather_rows_element {
  device_matrix<const T> h;
  device_vector<const std::int64_t> rows;
  device_matrix<T> out;
  __device__ void operator()(std::int64_t i, std::int64_t d) const { out(i, d) = h(rows(i), d); }
};

template <>
struct zoom_impl<cuda> {
  template <class T>
  using selected_type = selection<T, device_space>;
  using wanted_type = wanted_rows<device_space>;

  template <class T, class Children>
  static void run(cuda& backend, zoom_rows_step, const selected_type<T>& selected, const Children& index,
                  device_matrix<const T> h, device_matrix<T> out, wanted_type wanted) {
    launch(backend, {out.rows()}, zoom_rows_kernel<T, Children>{selected, index, h, out, wanted});
  }
  template <class T, class Children>
  static void run(cuda& backend, zoom_dweights_step, const selected_type<T>& selected, const Children& index,
                  device_matrix<const T> h, device_matrix<const T> dout, device_vector<T> dweights,
                  wanted_type wanted) {
    using kernel = zoom_dweights_kernel<T, Children>;
    launch(backend, {chunk_count(dweights.extent(0), kernel::threads / 32)},
           kernel{selected, index, h, dout, dweights, wanted});
  }
  template <class T, class Children>
  static void run(cuda& backend, zoom_dchildren_step, const selected_type<T>& selected, const Children& index,
                  device_matrix<const T> dout, device_matrix<T> dh, wanted_type wanted) {
    fill(backend, dh, T(0));  // rows that have no parent
    launch(backend, {selected.instances, index.width},
           zoom_dchildren_kernel<T, Children>{selected, index, dout, dh, wanted});
  }
  template <class T, class Children>
  static void run(cuda& backend, zoom_mass_step, const selected_type<T>& selected, const Children& index,
                  device_vector<T> mass) {
    for_each_element(backend, selected.rows(), index.width, zoom_mass_element<T, Children>{selected, index, mass});
  }
  template <class T>
  static void run(cuda& backend, mark_columns_step, const selected_type<T>& selected,
                  device_vector<std::uint8_t> used) {
    fill(backend, used, std::uint8_t{0});
    for_each_element(backend, selected.columns.extent(0), 1, mark_columns_element<T>{selected, used});
  }
  template <class Children>
  static void run(cuda& backend, child_rows_step, device_vector<const std::int32_t> columns, const Children& index,
                  device_vector<std::int64_t> offsets, device_vector<std::int64_t> rows) {
    launch(backend, {1}, child_rows_kernel<Children>{columns, index, offsets, rows});
  }
  template <class T>
  static void run(cuda& backend, gather_rows_step, device_matrix<const T> h, device_vector<const std::int64_t> rows,
                  device_matrix<T> out) {
    for_each_element(backend, rows.extent(0), h.cols(), gather_rows_element<T>{h, rows, out});
  }
};

}  // namespace milkit::ops::detail
