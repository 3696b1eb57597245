#pragma once

#include <algorithm>
#include <utility>

#include <Eigen/Core>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/conv2d.hpp>

/// What convolutions on Eigen's vectors share.
namespace milkit::ops::detail {

/// body(0), ..., body(Count - 1), of constants.
template <int... Index, class Body>
[[gnu::always_inline]] inline void unroll(std::integer_sequence<int, Index...>, const Body& body) {
  (body(std::integral_constant<int, Index>()), ...);
}
template <int Count, class Body>
[[gnu::always_inline]] inline void unrolled(const Body& body) {
  unroll(std::make_integer_sequence<int, Count>(), body);
}

/// A vector of the machine: Eigen's widest.
template <class T>
struct lanes_of {
  using packet = typename Eigen::internal::packet_traits<T>::type;
  static constexpr int count = Eigen::internal::unpacket_traits<packet>::size;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"  // the alignment of packet, which is the block's own all the same
  using block = Eigen::internal::PacketBlock<packet, count>;  ///< for Eigen's ptranspose
#pragma GCC diagnostic pop
  static constexpr bool many_registers = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32;
  /// Output channels, or pixels, padded to whole vectors.
  static std::int64_t padded(std::int64_t size) { return chunk_count(size, count) * count; }
};

/// The numbers of a convolution by their names.
struct conv2d_extents {
  conv2d_extents(const shape<4>& x, const shape<4>& weight, const shape<4>& y, const conv2d_options& o)
      : channels_(x[1]),
        height_(x[2]),
        width_(x[3]),
        out_(weight[0]),
        kernel_y_(weight[2]),
        kernel_x_(weight[3]),
        stride_y_(o.stride[0]),
        stride_x_(o.stride[1]),
        pad_y_(o.padding[0]),
        pad_x_(o.padding[1]),
        out_height_(y[2]),
        out_width_(y[3]) {}

  std::int64_t channels_, height_, width_, out_, kernel_y_, kernel_x_, stride_y_, stride_x_, pad_y_, pad_x_;
  std::int64_t out_height_, out_width_;
};

/// to[i to_step + j] = from[j from_step + i] for i < columns, j < rows, and 0 for the other j < lanes. rows and columns <=
/// lanes.
template <class T>
void transpose_lanes(const T* from, std::int64_t from_step, std::int64_t rows, std::int64_t columns, T* to,
                     std::int64_t to_step) {
  using namespace Eigen::internal;
  using packet = typename lanes_of<T>::packet;
  constexpr int lanes = lanes_of<T>::count;
  if (rows == lanes && columns == lanes) {
    typename lanes_of<T>::block block;
    unrolled<lanes>([&](auto i) { block.packet[i] = ploadu<packet>(from + i * from_step); });
    if constexpr (lanes > 1) ptranspose(block);
    unrolled<lanes>([&](auto i) { pstoreu(to + i * to_step, block.packet[i]); });
    return;
  }
  for (std::int64_t i = 0; i < columns; ++i)
    for (std::int64_t j = 0; j < lanes; ++j) to[i * to_step + j] = j < rows ? from[j * from_step + i] : T(0);
}

/// y = sums + bias + before (where there is one), then the relu, of `count` <= lanes pixels.
template <class T>
void write_pixels(const T* sums, T bias, const T* before, T* y, std::int64_t count, bool relu) {
  using namespace Eigen::internal;
  using packet = typename lanes_of<T>::packet;
  if (count == lanes_of<T>::count) {
    packet z = padd(ploadu<packet>(sums), pset1<packet>(bias));
    if (before) z = padd(z, ploadu<packet>(before));
    if (relu) z = pmax<Eigen::PropagateNaN>(z, pset1<packet>(T(0)));
    pstoreu(y, z);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const T z = sums[i] + bias + (before ? before[i] : T(0));
    y[i] = relu && z < T(0) ? T(0) : z;
  }
}

/// Rows [top, top + rows) and columns [left, left + pitch) of every channel of an image, with zeros where there is none.
template <class T>
void copy_patch(const T* image, std::int64_t channels, std::int64_t height, std::int64_t width, std::int64_t top,
                std::int64_t left, std::int64_t rows, std::int64_t pitch, T* to) {
  using namespace Eigen::internal;
  using packet = typename lanes_of<T>::packet;
  constexpr std::int64_t lanes = lanes_of<T>::count;
  std::fill_n(to, channels * rows * pitch, T(0));
  const std::int64_t first = (std::max)(-left, std::int64_t{0}), count = (std::min)(pitch, width - left) - first;
  const std::int64_t above = (std::max)(-top, std::int64_t{0}), below = (std::min)(rows, height - top);
  for (std::int64_t c = 0; c < channels && count > 0; ++c)
    for (std::int64_t r = above; r < below; ++r) {
      const T* from = image + (c * height + top + r) * width + left + first;
      T* copy = to + (c * rows + r) * pitch + first;
      if (count < lanes) {
        for (std::int64_t i = 0; i < count; ++i) copy[i] = from[i];
        continue;
      }
      for (std::int64_t i = 0; i + lanes < count; i += lanes) pstoreu(copy + i, ploadu<packet>(from + i));
      pstoreu(copy + count - lanes,
              ploadu<packet>(from + count - lanes));  // rows are short: it overlaps the one before
    }
}

}  // namespace milkit::ops::detail
