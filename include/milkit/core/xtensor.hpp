#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xtensor.hpp>

#include <milkit/core/view.hpp>

namespace milkit {

/// An xtensor container (or strided xtensor view) of `Rank` dimensions as a view of the same memory:
/// `view_of<2>(array)`. Rows may lie apart, but each must be contiguous and row-major. Another rank, a column-major
/// layout or steps within a row: shape_error. The container must outlive the view and must not be resized meanwhile.
template <int Rank, class Array>
auto view_of(Array& array) {
  using scalar = std::remove_reference_t<decltype(*array.data())>;
  expect_extent("milkit::view_of", "the xtensor array's rank", static_cast<std::int64_t>(array.dimension()), Rank);
  shape<Rank> extents;
  bool empty = false;
  for (int i = 0; i < Rank; ++i) {
    extents[i] = static_cast<std::int64_t>(array.shape()[static_cast<std::size_t>(i)]);
    empty = empty || extents[i] == 0;
  }
  std::int64_t packed = 1, row_stride = extents.row_size();
  for (int i = Rank - 1; i >= 0; --i) {
    const auto stride = static_cast<std::int64_t>(array.strides()[static_cast<std::size_t>(i)]);
    const bool matters = !empty && extents[i] > 1;  // xtensor gives an extent of 1 the stride 0
    if (matters && i == 0 && Rank > 1 && stride >= packed) row_stride = stride;
    else if (matters && stride != packed)
      throw shape_error(message("milkit::view_of: stride ", i, " of the xtensor array is ", stride, ", expected ",
                                packed, " (row-major, contiguous rows)"));
    packed *= extents[i];
  }
  return view<scalar, Rank>(array.data() + array.data_offset(), extents, row_stride);
}

/// A host view as an xtensor adaptor of the same memory; no copy.
template <class T, int Rank>
auto as_xtensor(view<T, Rank> v) {
  std::array<std::size_t, static_cast<std::size_t>(Rank)> extents{};
  std::array<std::ptrdiff_t, static_cast<std::size_t>(Rank)> strides{};
  std::int64_t packed = 1;
  for (int i = Rank - 1; i >= 0; --i) {
    extents[static_cast<std::size_t>(i)] = static_cast<std::size_t>(v.extent(i));
    strides[static_cast<std::size_t>(i)] = v.extent(i) > 1 ? (i == 0 ? v.stride() : packed) : 0;
    packed *= v.extent(i);
  }
  return xt::adapt(v.data(), static_cast<std::size_t>(v.size()), xt::no_ownership(), extents, strides);
}

}  // namespace milkit
