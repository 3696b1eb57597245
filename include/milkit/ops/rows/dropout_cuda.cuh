#pragma once

#include <milkit/ops/rows/dropout.hpp>
#include <milkit/ops/rows/fill_cuda.cuh>

namespace milkit::ops::detail {

/// Column j of this table is block j of a row's random numbers, for four columns of the mask.
struct dropout_mask_element {
  random_stream stream;
  std::int64_t first_row;
  std::uint32_t threshold;
  device_matrix<std::uint8_t> mask;
  __device__ void operator()(std::int64_t i, std::int64_t j) const {
    const philox_block block = stream.bits(static_cast<std::uint64_t>(first_row + i), static_cast<std::uint64_t>(j));
    for (std::int64_t w = 0; w < 4 && 4 * j + w < mask.cols(); ++w) mask(i, 4 * j + w) = block.word[w] >= threshold;
  }
};

template <class T>
struct apply_mask_element {
  device_matrix<const T> x;
  device_matrix<const std::uint8_t> mask;
  T scale;
  device_matrix<T> y;
  __device__ void operator()(std::int64_t i, std::int64_t j) const { y(i, j) = mask(i, j) ? x(i, j) * scale : T(0); }
};

template <>
struct dropout_mask_impl<cuda> {
  static void run(cuda& backend, const random_stream& stream, std::int64_t first_row, std::uint32_t threshold,
                  device_matrix<std::uint8_t> mask) {
    for_each_element(backend, mask.rows(), (mask.cols() + 3) / 4,
                     dropout_mask_element{stream, first_row, threshold, mask});
  }
};

template <>
struct apply_mask_impl<cuda> {
  template <class T>
  static void run(cuda& backend, device_matrix<const T> x, device_matrix<const std::uint8_t> mask, T scale,
                  device_matrix<T> y) {
    const shape<2> s = element_shape(x.shape(), x, mask, y);
    for_each_element(backend, s[0], s[1], apply_mask_element<T>{x, mask, scale, y});
  }
};

}  // namespace milkit::ops::detail
