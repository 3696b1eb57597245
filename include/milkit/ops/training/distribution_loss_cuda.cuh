#pragma once

#include <milkit/ops/rows/softmax_cuda.cuh>
#include <milkit/ops/training/distribution_loss.hpp>

namespace milkit::ops::detail {

/// An entry's part of the value and of the slopes.
template <class Function, class T>
struct distribution_entries {
  Function f;
  segments_of segments;
  device_vector<const T> p, mask;
  __device__ double target(std::int64_t r) const { return mask.absent() ? 0.0 : static_cast<double>(mask(r)); }
  __device__ double value(std::int64_t r, std::int64_t count) const {
    return f.value(static_cast<double>(p(r)), target(r), count);
  }
  __device__ double slope(std::int64_t r, std::int64_t count) const {
    return f.slope(static_cast<double>(p(r)), target(r), count);
  }
};

// In three steps, as segments of a softmax go (softmax_cuda.cuh).
template <class Function, class T>
struct distribution_loss_tile_kernel {
  static constexpr int threads = tile_rows;
  distribution_entries<Function, T> of;
  device_matrix<double> tiles;

  __device__ void operator()() const {
    const std::int64_t slot = blockIdx.x, i = tile_slot::bag_of(of.segments, slot);
    const row_range rows = tile_slot::rows_of(of.segments, slot, i);
    const std::int64_t r = rows.first + threadIdx.x, count = of.segments.segment(i).count;
    const bool inside = threadIdx.x < rows.count;
    const double value = block_sum<threads>(inside ? of.value(r, count) : 0.0);
    const double slope = block_sum<threads>(inside ? of.slope(r, count) : 0.0);
    if (threadIdx.x == 0) tiles(slot, 0) = value, tiles(slot, 1) = slope;
  }
};
struct distribution_loss_kernel {
  static constexpr int threads = 128;
  segments_of segments;
  device_matrix<double> tiles, sums;
  device_vector<double> values;

  __device__ void operator()() const {
    const std::int64_t i = blockIdx.x;
    const tile_slot slots(segments, i);
    double value = 0, slope = 0;
    for (std::int64_t s = slots.first + threadIdx.x; s <= slots.last; s += threads)
      value += tiles(s, 0), slope += tiles(s, 1);
    value = block_sum<threads>(value), slope = block_sum<threads>(slope);
    if (threadIdx.x == 0) values(i) = value, sums(i, 0) = slope;
  }
};
template <class Function, class T>
struct distribution_loss_element {
  distribution_entries<Function, T> of;
  device_matrix<double> sums;
  double scale;
  device_vector<T> dlogits;
  __device__ void operator()(std::int64_t, std::int64_t r) const {
    const std::int64_t i = bag_of_row(of.segments, r);
    dlogits(r) +=
        static_cast<T>(scale * (of.slope(r, of.segments.segment(i).count) - static_cast<double>(of.p(r)) * sums(i, 0)));
  }
};

template <>
struct distribution_loss_impl<cuda> {
  template <class Function, class T, class... Rest>
  static segment_sums scratch(cuda& backend, const Function&, device_vector<const std::int64_t> offsets,
                              device_vector<const T> p, const Rest&...) {
    return {backend, offsets, p.extent(0)};
  }
  template <class Function, class T>
  static void run(cuda& backend, const segment_sums& use, const Function& f, device_vector<const std::int64_t>,
                  device_vector<const T> p, device_vector<const T> mask, double scale, device_vector<double> values,
                  device_vector<T> dlogits) {
    const distribution_entries<Function, T> of{f, use.segments, p, mask};
    launch(backend, {use.tiles.rows()}, distribution_loss_tile_kernel<Function, T>{of, use.tiles});
    launch(backend, {use.sums.rows()}, distribution_loss_kernel{use.segments, use.tiles, use.sums, values});
    if (!dlogits.absent())
      for_each_element(backend, 1, p.extent(0), distribution_loss_element<Function, T>{of, use.sums, scale, dlogits});
  }
};

}  // namespace milkit::ops::detail
