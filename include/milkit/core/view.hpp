#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include <milkit/core/error.hpp>
#include <milkit/core/macros.hpp>

namespace milkit {

/// Memory that the CPU may touch; memory that only the GPU may touch. The space is part of a view's type, so that
/// handing a view to the wrong backend does not compile.
struct host_space {
  static constexpr const char* name = "host";
};
struct device_space {
  static constexpr const char* name = "device";
};

/// The extents of a view, outermost first: `shape<2>{rows, cols}`, `shape<4>{batch, channels, height, width}`.
template <int Rank>
struct shape {
  static_assert(Rank >= 1, "milkit::shape: a view has at least one dimension");
  static constexpr int rank = Rank;
  std::int64_t extent[static_cast<unsigned>(Rank)] = {};

  MILKIT_HD constexpr std::int64_t& operator[](int i) { return extent[i]; }
  MILKIT_HD constexpr std::int64_t operator[](int i) const { return extent[i]; }

  /// Elements behind one step of the outermost extent (1 for rank 1).
  MILKIT_HD constexpr std::int64_t row_size() const {
    std::int64_t product = 1;
    for (int i = 1; i < Rank; ++i) product *= extent[i];
    return product;
  }
  MILKIT_HD constexpr std::int64_t size() const { return extent[0] * row_size(); }

  /// The same shape with another outermost extent.
  MILKIT_HD constexpr shape with_rows(std::int64_t rows) const {
    shape other = *this;
    other.extent[0] = rows;
    return other;
  }

  friend constexpr bool operator==(const shape&, const shape&) = default;
};

template <class... Extents>
shape(Extents...) -> shape<static_cast<int>(sizeof...(Extents))>;

/// `[3, 32, 32]`, for messages.
template <int Rank>
std::string to_string(const shape<Rank>& s) {
  std::string text = "[";
  for (int i = 0; i < Rank; ++i) text += (i ? ", " : "") + std::to_string(s[i]);
  return text + "]";
}

/// A non-owning, row-major table of `T` in `Space`: `extent(0)` rows, each contiguous, `stride()` elements apart. A row
/// is one element (rank 1), a vector (rank 2), an image `[channels, height, width]` (rank 4), ... A default view is
/// empty (no data, all extents 0); ops take it for "not wanted". Access is unchecked; ops check shapes once at their
/// entry.
template <class T, int Rank, class Space = host_space>
class view {
 public:
  using element_type = T;
  using value_type = std::remove_const_t<T>;
  using space = Space;
  static constexpr int rank = Rank;

  constexpr view() = default;
  MILKIT_HD constexpr view(T* data, milkit::shape<Rank> shape) : view(data, shape, shape.row_size()) {}
  MILKIT_HD constexpr view(T* data, milkit::shape<Rank> shape, std::int64_t stride)
      : data_(data), shape_(shape), stride_(stride) {}

  /// A view of mutable elements is a view of constant ones.
  template <class U>
  requires(std::is_const_v<T>&& std::is_same_v<std::remove_const_t<T>, U>) MILKIT_HD
      constexpr view(view<U, Rank, Space> other)
      : view(other.data(), other.shape(), other.stride()) {}

  MILKIT_HD constexpr T* data() const { return data_; }
  MILKIT_HD constexpr const milkit::shape<Rank>& shape() const { return shape_; }
  MILKIT_HD constexpr std::int64_t extent(int i) const { return shape_[i]; }
  MILKIT_HD constexpr std::int64_t stride() const { return stride_; }
  MILKIT_HD constexpr std::int64_t rows() const { return shape_[0]; }
  MILKIT_HD constexpr std::int64_t row_size() const { return shape_.row_size(); }
  /// Columns of a matrix; of any other rank, elements a row.
  MILKIT_HD constexpr std::int64_t cols() const { return shape_.row_size(); }
  MILKIT_HD constexpr std::int64_t size() const { return shape_.size(); }
  /// True for a default view, which asks an op to leave this argument out; not for a view of zero rows.
  MILKIT_HD constexpr bool absent() const { return data_ == nullptr && size() == 0 && stride_ == 0; }
  MILKIT_HD constexpr bool contiguous() const { return stride_ == row_size() || rows() <= 1; }

  MILKIT_HD constexpr T* row(std::int64_t i) const { return data_ + i * stride_; }
  MILKIT_HD constexpr T& operator()(std::int64_t i) const requires(Rank == 1) { return data_[i * stride_]; }
  MILKIT_HD constexpr T& operator()(std::int64_t i, std::int64_t j) const requires(Rank == 2) {
    return data_[i * stride_ + j];
  }
  MILKIT_HD constexpr T& operator()(std::int64_t i, std::int64_t c, std::int64_t y, std::int64_t x) const
      requires(Rank == 4) {
    return data_[i * stride_ + (c * shape_[2] + y) * shape_[3] + x];
  }

  /// Rows `first` to `first + count - 1`.
  MILKIT_HD constexpr view rows(std::int64_t first, std::int64_t count) const {
    return {data_ + first * stride_, shape_.with_rows(count), stride_};
  }
  /// Columns `first` to `first + count - 1` of a matrix, in every row.
  MILKIT_HD constexpr view columns(std::int64_t first, std::int64_t count) const requires(Rank == 2) {
    return {data_ == nullptr ? data_ : data_ + first, {rows(), count}, stride_};
  }
  /// Channels `first` to `first + count - 1` of images, in every one.
  MILKIT_HD constexpr view channels(std::int64_t first, std::int64_t count) const requires(Rank == 4) {
    return {data_ == nullptr ? data_ : data_ + first * shape_[2] * shape_[3],
            {rows(), count, shape_[2], shape_[3]},
            stride_};
  }
  /// The same rows, each flattened: `[rows, row_size]`.
  MILKIT_HD constexpr view<T, 2, Space> as_matrix() const { return {data_, {rows(), row_size()}, stride_}; }

  /// The same rows, each read as `row_shape` says; `row_shape[0]` is ignored. Throws shape_error where a row's size
  /// differs.
  template <int OtherRank>
  constexpr view<T, OtherRank, Space> as_rows_of(milkit::shape<OtherRank> row_shape) const {
    if (row_shape.row_size() != row_size())
      throw shape_error(message("milkit::view: a row of ", to_string(shape_), " holds ", row_size(),
                                " elements, the asked shape ", to_string(row_shape), " wants ", row_shape.row_size()));
    return {data_, row_shape.with_rows(rows()), stride_};
  }

 private:
  T* data_ = nullptr;
  milkit::shape<Rank> shape_ = {};
  std::int64_t stride_ = 0;
};

template <class T, class Space = host_space>
using vector_view = view<T, 1, Space>;
template <class T, class Space = host_space>
using matrix_view = view<T, 2, Space>;
/// Images `[batch, channels, height, width]`.
template <class T, class Space = host_space>
using image_view = view<T, 4, Space>;

template <class V>
inline constexpr bool is_view = false;
template <class T, int Rank, class Space>
inline constexpr bool is_view<view<T, Rank, Space>> = true;

/// Throws shape_error naming `op` and `what` unless the view has exactly this shape.
template <class T, int Rank, class Space>
void expect_shape(std::string_view op, std::string_view what, const view<T, Rank, Space>& got,
                  const shape<Rank>& want) {
  if (!(got.shape() == want))
    throw shape_error(message(op, ": ", what, " is ", to_string(got.shape()), ", expected ", to_string(want)));
}

/// Throws shape_error unless the view's rows follow one another without gaps.
template <class T, int Rank, class Space>
void expect_contiguous(std::string_view op, std::string_view what, const view<T, Rank, Space>& got) {
  if (!got.contiguous())
    throw shape_error(
        message(op, ": rows of ", what, " lie ", got.stride(), " elements apart, expected ", got.row_size()));
}

}  // namespace milkit
