#pragma once

#include <milkit/core/backend.hpp>
#include <milkit/ops/selection/selection.hpp>

namespace milkit::ops {

/// The rows of the next magnification that belong to each parent: parent n has offsets[n + 1] - offsets[n] children,
/// the j-th of them row rows[offsets[n] + j]. Without `rows` they lie in that order; without `offsets` every parent has
/// `width`, the dense r = 4^k blocks of the paper. `width` is the most children that a parent may have.
template <class Space = host_space>
struct children {
  std::int64_t width = 1;
  vector_view<const std::int64_t, Space> offsets = {};
  vector_view<const std::int64_t, Space> rows = {};

  bool complete() const { return offsets.absent(); }                ///< every parent has `width` children
  bool dense() const { return offsets.absent() && rows.absent(); }  ///< and they lie one after the other
  /// The row of child j of parent n; -1 where it has none.
  MILKIT_HD std::int64_t row(std::int64_t n, std::int64_t j) const {
    const std::int64_t at = offsets.absent() ? n * width + j : offsets(n) + j;
    if (!offsets.absent() && at >= offsets(n + 1)) return -1;
    return rows.absent() ? at : rows(at);
  }
};

/// The children's children: child j1 width2 + j2 is child j2 of child j1.
template <class First, class Second>
struct grandchildren {
  std::int64_t width;
  First first;
  Second second;

  grandchildren(First first_, Second second_) : width(first_.width * second_.width), first(first_), second(second_) {}
  MILKIT_HD std::int64_t row(std::int64_t n, std::int64_t j) const {
    const std::int64_t child = first.row(n, j / second.width);
    return child < 0 ? -1 : second.row(child, j % second.width);
  }
};

/// Which rows of a zoom are wanted: row q where used[q / block] is not 0; all where `used` is absent.
template <class Space = host_space>
struct wanted_rows {
  vector_view<const std::uint8_t, Space> used = {};
  std::int64_t block = 1;
  MILKIT_HD bool operator()(std::int64_t q) const { return used.absent() || used(q / block) != 0; }
};

namespace detail {

template <class Backend>
struct zoom_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::zoom: no implementation for this backend here; include "
                "<milkit/ops/selection/zoom_cpu.hpp> for cpu or "
                "<milkit/ops/selection/zoom_cuda.cuh> for cuda");
};
/// Which step `zoom_impl::run` is to do.
struct zoom_rows_step {};
struct zoom_dweights_step {};
struct zoom_dchildren_step {};
struct zoom_mass_step {};
struct mark_columns_step {};
struct child_rows_step {};
struct gather_rows_step {};

template <class Selection, class Children, class Rows>
void expect_zoom(std::string_view op, const Selection& selected, const Children& index, std::int64_t cols, Rows rows) {
  expect_value(index.width >= 1, op, "the width of the children is ", index.width, ", expected at least 1");
  expect_shape(op, "the zoomed rows", rows, shape<2>{selected.rows() * index.width, cols});
}

}  // namespace detail

/// out[k W + j] = sum_n T[k, n] h[child j of n], W = index.width (docs/papers/zoommil.md 2.6, eq. 6): for the dense
/// index (T kron I_r) h. A parent that has no child j adds nothing, and the rest is not divided by the weight that
/// arrived (`zoom_mass`): a row that no selected parent has a child for is 0. Shapes: T [K, N]; h [R, d]; out [K W, d].
/// Rows that are not `wanted` are not touched. A row of one instance with weight 1 is a copy. Cost: 2 nnz(T) W d FLOPs,
/// no K N or Kronecker matrix. Errors: shape_error; on cpu value_error for an index that leaves the rows of h or has
/// more than W children a parent.
template <backend Backend, class T, class Children, class Instances, class Out>
requires resident_on<Instances, Backend> && resident_on<Out, Backend>
void zoom(Backend& backend, const selection<T, typename Backend::space>& selected, const Children& index, Instances h,
          Out out, wanted_rows<typename Backend::space> wanted = {}) {
  using Space = typename Backend::space;
  detail::expect_zoom("milkit::ops::zoom", selected, index, h.cols(), out);
  execute<detail::zoom_impl>(backend, detail::zoom_rows_step{}, selected, index, matrix_view<const T, Space>(h),
                             matrix_view<T, Space>(out), wanted);
}

/// Backward: dweights, in the layout of the weights, G[k, n] = sum_j <dout[k W + j], h[child j of n]>, where T is
/// non-zero alone; and dh (absent where h is constant) sum_k T[k, n] dout[k W + j] in the row of child j of n, 0 in
/// rows that nobody selected. Rows of dout that are not `wanted` count as 0 and are not read. Sums of G in double (the
/// card: in double too). Cost: 2 nnz(T) W d FLOPs each.
template <backend Backend, class T, class Children, class Instances, class Dout, class Dweights, class Dh>
requires resident_on<Instances, Backend> && resident_on<Dout, Backend> && resident_on<Dweights, Backend>
void zoom_backward(Backend& backend, const selection<T, typename Backend::space>& selected, const Children& index,
                   Instances h, Dout dout, Dweights dweights, Dh dh, wanted_rows<typename Backend::space> wanted = {}) {
  using Space = typename Backend::space;
  constexpr auto op = "milkit::ops::zoom_backward";
  const matrix_view<const T, Space> upstream(dout);
  detail::expect_zoom(op, selected, index, h.cols(), upstream);
  if (!dweights.absent()) {
    expect_shape(op, "dweights", dweights, selected.weights.shape());
    execute<detail::zoom_impl>(backend, detail::zoom_dweights_step{}, selected, index, matrix_view<const T, Space>(h),
                               upstream, vector_view<T, Space>(dweights), wanted);
  }
  if (dh.absent()) return;
  expect_shape(op, "dh", dh, h.shape());
  execute<detail::zoom_impl>(backend, detail::zoom_dchildren_step{}, selected, index, upstream,
                             matrix_view<T, Space>(dh), wanted);
}

/// mass[k W + j] = sum of T[k, n] over the parents n that have a child j: 1 for a full index, 0 for a row that may be
/// left out.
template <backend Backend, class T, class Children, class Mass>
requires resident_on<Mass, Backend>
void zoom_mass(Backend& backend, const selection<T, typename Backend::space>& selected, const Children& index,
               Mass mass) {
  expect_extent("milkit::ops::zoom_mass", "extent of mass", mass.extent(0), selected.rows() * index.width);
  execute<detail::zoom_impl>(backend, detail::zoom_mass_step{}, selected, index,
                             vector_view<T, typename Backend::space>(mass));
}

/// used[n] = 1 where some row of T selects instance n, else 0.
template <backend Backend, class T, class Used>
requires resident_on<Used, Backend>
void mark_columns(Backend& backend, const selection<T, typename Backend::space>& selected, Used used) {
  expect_extent("milkit::ops::mark_columns", "extent of used", used.extent(0), selected.instances);
  execute<detail::zoom_impl>(backend, detail::mark_columns_step{}, selected, used);
}

/// The children of selected parents, one parent after the other: those of columns[k] are rows[offsets[k]] ..
/// rows[offsets[k + 1] - 1]. Shapes: columns [K]; offsets [K + 1]; rows [K W], of which the first offsets[K] are
/// written: the tiles to read and encode at inference. Children that do not exist leave no row.
template <backend Backend, class Columns, class Children, class Offsets, class Rows>
requires resident_on<Columns, Backend> && resident_on<Offsets, Backend> && resident_on<Rows, Backend>
void child_rows(Backend& backend, Columns columns, const Children& index, Offsets offsets, Rows rows) {
  using Space = typename Backend::space;
  constexpr auto op = "milkit::ops::child_rows";
  expect_extent(op, "extent of offsets", offsets.extent(0), columns.extent(0) + 1);
  expect_extent(op, "extent of rows", rows.extent(0), columns.extent(0) * index.width);
  execute<detail::zoom_impl>(backend, detail::child_rows_step{}, vector_view<const std::int32_t, Space>(columns), index,
                             offsets, rows);
}

/// out[i] = h[rows[i]]: a copy, no arithmetic. Shapes: h [R, d], rows [n], out [n, d]. Errors: shape_error; on cpu
/// value_error for a row outside h.
template <backend Backend, class Instances, class Rows, class Out>
requires resident_on<Instances, Backend> && resident_on<Rows, Backend> && resident_on<Out, Backend>
void gather_rows(Backend& backend, Instances h, Rows rows, Out out) {
  using T = typename Out::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::gather_rows", "out", out, shape<2>{rows.extent(0), h.cols()});
  execute<detail::zoom_impl>(backend, detail::gather_rows_step{}, matrix_view<const T, Space>(h),
                             vector_view<const std::int64_t, Space>(rows), matrix_view<T, Space>(out));
}

}  // namespace milkit::ops
