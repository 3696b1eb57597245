#pragma once

#include <Eigen/Core>

#include <milkit/core/view.hpp>

namespace milkit {

template <class T>
using row_major_matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A host matrix view as an Eigen map (no copy), and a contiguous vector view as a map of a column. A vector view whose
/// elements lie apart: shape_error.
template <class T>
auto as_eigen(matrix_view<T> m) {
  using matrix =
      std::conditional_t<std::is_const_v<T>, const row_major_matrix<std::remove_const_t<T>>, row_major_matrix<T>>;
  return Eigen::Map<matrix, Eigen::Unaligned, Eigen::OuterStride<>>(m.data(), m.rows(), m.cols(),
                                                                    Eigen::OuterStride<>(m.stride()));
}
template <class T>
auto as_eigen(vector_view<T> v) {
  if (!v.contiguous())
    throw shape_error(message("milkit::as_eigen: the vector view's stride is ", v.stride(), ", expected 1"));
  using vector = Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, 1>;
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const vector, vector>>(v.data(), v.extent(0));
}

/// An Eigen matrix, map or block as a view of the same memory. Matrices must be row-major (instances are rows) and
/// vectors contiguous; a column-major matrix does not compile, a strided vector throws shape_error.
template <class Derived>
auto view_of(Eigen::DenseBase<Derived>& m) {
  using scalar = std::remove_reference_t<decltype(*m.derived().data())>;
  if constexpr (Derived::IsVectorAtCompileTime) {
    if (m.derived().innerStride() != 1)
      throw shape_error(
          message("milkit::view_of: the Eigen vector's stride is ", m.derived().innerStride(), ", expected 1"));
    return vector_view<scalar>(m.derived().data(), shape<1>{m.size()});
  } else {
    static_assert(
        Derived::IsRowMajor,
        "milkit::view_of: an Eigen matrix of instances must be row-major (Eigen::RowMajor), one instance a row");
    if (m.derived().innerStride() != 1)
      throw shape_error(
          message("milkit::view_of: the Eigen matrix's inner stride is ", m.derived().innerStride(), ", expected 1"));
    return matrix_view<scalar>(m.derived().data(), shape<2>{m.rows(), m.cols()}, m.derived().outerStride());
  }
}
template <class Derived>
auto view_of(const Eigen::DenseBase<Derived>& m) {
  const auto mutable_view = view_of(const_cast<Eigen::DenseBase<Derived>&>(m));
  using type = std::remove_const_t<decltype(mutable_view)>;
  return view<const typename type::value_type, type::rank>(mutable_view);
}

}  // namespace milkit
