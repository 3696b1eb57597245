#pragma once

#include <algorithm>

#include <Eigen/Core>

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/selection/zoom.hpp>

namespace milkit::ops::detail {

/// Throws value_error unless the children of `parents` parents lie in 0 .. rows - 1, at most `width` each.
inline void expect_children(std::string_view op, const children<>& index, std::int64_t parents, std::int64_t rows) {
  if (index.offsets.absent()) {
    const std::int64_t count = index.rows.absent() ? rows : index.rows.extent(0);
    expect_value(parents * index.width <= count, op, parents, " parents with ", index.width, " children each have ",
                 parents * index.width, " rows, but there are ", count);
  } else {
    expect_extent(op, "extent of the children's offsets", index.offsets.extent(0), parents + 1);
    expect_value(index.offsets(0) >= 0, op, "the children's offsets[0] is ", index.offsets(0), ", expected at least 0");
    for (std::int64_t n = 0; n < parents; ++n) {
      const std::int64_t count = index.offsets(n + 1) - index.offsets(n);
      expect_value(count >= 0 && count <= index.width, op, "parent ", n, " has ", count, " children, expected 0 to ",
                   index.width);
    }
    const std::int64_t last = index.offsets(parents), all = index.rows.absent() ? rows : index.rows.extent(0);
    expect_value(last <= all, op, "the children's offsets end at ", last, ", expected at most ", all);
  }
  for (std::int64_t i = 0; i < index.rows.extent(0); ++i)
    expect_value(index.rows(i) >= 0 && index.rows(i) < rows, op, "the children's rows[", i, "] is ", index.rows(i),
                 ", expected 0 to ", rows - 1);
}
template <class First>
void expect_children(std::string_view op, const grandchildren<First, children<>>& index, std::int64_t parents,
                     std::int64_t rows) {
  const children<>& last = index.second;
  const std::int64_t middle = last.offsets.absent() ? (last.rows.absent() ? rows : last.rows.extent(0)) / last.width
                                                    : last.offsets.extent(0) - 1;
  expect_children(op, index.first, parents, middle);
  expect_children(op, last, middle, rows);
}

template <>
struct zoom_impl<cpu> {
  /// Columns at a time, so that the rows that neighbours in T share are still in the second cache.
  static constexpr std::int64_t slab = 256;
  /// Rows of T that one thread takes.
  static std::int64_t chunk_rows(std::int64_t rows) { return std::clamp(rows / 8, std::int64_t{1}, std::int64_t{8}); }

  template <class T, class Children>
  static void run(cpu& backend, int, zoom_rows_step, const selection<T>& selected, const Children& index,
                  matrix_view<const T> h, matrix_view<T> out, wanted_rows<> wanted) {
    expect_children("milkit::ops::zoom", index, selected.instances, h.rows());
    each_slab(backend, selected.rows(), h.cols(), [&](std::int64_t k, std::int64_t first, std::int64_t count) {
      for (std::int64_t j = 0; j < index.width; ++j) {
        const std::int64_t q = k * index.width + j;
        if (!wanted(q)) continue;
        T* to = out.row(q) + first;
        bool begun = false;
        for (std::int64_t e = selected.offsets(k); e < selected.offsets(k + 1); ++e) {
          const std::int64_t row = index.row(selected.columns(e), j);
          if (row < 0) continue;
          if (begun) add(selected.weights(e), h.row(row) + first, to, count);
          else if (selected.weights(e) == T(1)) std::copy_n(h.row(row) + first, count, to);
          else scale(selected.weights(e), h.row(row) + first, to, count);
          begun = true;
        }
        if (!begun) std::fill_n(to, count, T(0));
      }
    });
  }

  template <class T, class Children>
  static vector_view<double> scratch(cpu& backend, zoom_dweights_step, const selection<T>& selected, const Children&,
                                     matrix_view<const T>, matrix_view<const T>, vector_view<T>, wanted_rows<>) {
    return backend.workspace.allocate<double>(selected.columns.extent(0));
  }
  template <class T, class Children>
  static void run(cpu& backend, vector_view<double> sums, zoom_dweights_step, const selection<T>& selected,
                  const Children& index, matrix_view<const T> h, matrix_view<const T> dout, vector_view<T> dweights,
                  wanted_rows<> wanted) {
    expect_children("milkit::ops::zoom_backward", index, selected.instances, h.rows());
    each_slab(backend, selected.rows(), h.cols(), [&](std::int64_t k, std::int64_t first, std::int64_t count) {
      for (std::int64_t e = selected.offsets(k); e < selected.offsets(k + 1); ++e) {
        double sum = first == 0 ? 0 : sums(e);
        for (std::int64_t j = 0; j < index.width; ++j) {
          const std::int64_t q = k * index.width + j, row = index.row(selected.columns(e), j);
          if (row >= 0 && wanted(q)) sum += dot(dout.row(q) + first, h.row(row) + first, count);
        }
        sums(e) = sum;
      }
    });
    for (std::int64_t e = 0; e < selected.offsets(selected.rows()); ++e) dweights(e) = static_cast<T>(sums(e));
  }

  /// Over columns in parallel, so that no two threads add to one element.
  template <class T, class Children>
  static void run(cpu& backend, int, zoom_dchildren_step, const selection<T>& selected, const Children& index,
                  matrix_view<const T> dout, matrix_view<T> dh, wanted_rows<> wanted) {
    expect_children("milkit::ops::zoom_backward", index, selected.instances, dh.rows());
    parallel_for(backend, dh.cols(), 64, [&](row_range cols) {
      for (std::int64_t i = 0; i < dh.rows(); ++i) std::fill_n(dh.row(i) + cols.first, cols.count, T(0));
      for (std::int64_t k = 0; k < selected.rows(); ++k)
        for (std::int64_t e = selected.offsets(k); e < selected.offsets(k + 1); ++e)
          for (std::int64_t j = 0; j < index.width; ++j) {
            const std::int64_t q = k * index.width + j, row = index.row(selected.columns(e), j);
            if (row >= 0 && wanted(q))
              add(selected.weights(e), dout.row(q) + cols.first, dh.row(row) + cols.first, cols.count);
          }
    });
  }

  template <class T, class Children>
  static void run(cpu&, int, zoom_mass_step, const selection<T>& selected, const Children& index, vector_view<T> mass) {
    for (std::int64_t k = 0; k < selected.rows(); ++k)
      for (std::int64_t j = 0; j < index.width; ++j) {
        double sum = 0;
        for (std::int64_t e = selected.offsets(k); e < selected.offsets(k + 1); ++e)
          if (index.row(selected.columns(e), j) >= 0) sum += static_cast<double>(selected.weights(e));
        mass(k * index.width + j) = static_cast<T>(sum);
      }
  }

  template <class T>
  static void run(cpu&, int, mark_columns_step, const selection<T>& selected, vector_view<std::uint8_t> used) {
    for (std::int64_t n = 0; n < used.extent(0); ++n) used(n) = 0;
    for (std::int64_t e = 0; e < selected.offsets(selected.rows()); ++e) used(selected.columns(e)) = 1;
  }

  template <class Children>
  static void run(cpu&, int, child_rows_step, vector_view<const std::int32_t> columns, const Children& index,
                  vector_view<std::int64_t> offsets, vector_view<std::int64_t> rows) {
    std::int64_t count = 0;
    for (std::int64_t k = 0; k < columns.extent(0); ++k) {
      offsets(k) = count;
      for (std::int64_t j = 0; j < index.width; ++j)
        if (const std::int64_t row = index.row(columns(k), j); row >= 0) rows(count++) = row;
    }
    offsets(columns.extent(0)) = count;
  }

  template <class T>
  static void run(cpu& backend, int, gather_rows_step, matrix_view<const T> h, vector_view<const std::int64_t> rows,
                  matrix_view<T> out) {
    for (std::int64_t i = 0; i < rows.extent(0); ++i)
      expect_value(rows(i) >= 0 && rows(i) < h.rows(), "milkit::ops::gather_rows", "rows[", i, "] is ", rows(i),
                   ", expected 0 to ", h.rows() - 1);
    parallel_for(backend, rows.extent(0), 16, [&](row_range range) {
      for (std::int64_t i = range.first; i < range.first + range.count; ++i)
        std::copy_n(h.row(rows(i)), h.cols(), out.row(i));
    });
  }

  template <class Step, class... Args>
  static int scratch(cpu&, Step, const Args&...) {
    return 0;
  }

 private:
  /// body(k, first column, columns) for every row of T and slab of columns; slabs outside, rows inside.
  template <class Body>
  static void each_slab(cpu& backend, std::int64_t rows, std::int64_t cols, Body&& body) {
    parallel_for(backend, rows, chunk_rows(rows), [&](row_range chunk) {
      for (std::int64_t first = 0; first == 0 || first < cols; first += slab)
        for (std::int64_t k = chunk.first; k < chunk.first + chunk.count; ++k)
          body(k, first, (std::min)(slab, cols - first));
    });
  }
  template <class T>
  static void add(T weight, const T* __restrict from, T* __restrict to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) to[i] += weight * from[i];
  }
  template <class T>
  static void scale(T weight, const T* __restrict from, T* __restrict to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = weight * from[i];
  }
  /// At most `slab` products, in sums that stay in registers.
  template <class T>
  static double dot(const T* a, const T* b, std::int64_t count) {
    using lanes = Eigen::Array<T, 32, 1>;
    lanes sums = lanes::Zero();
    std::int64_t i = 0;
    for (; i + 32 <= count; i += 32) sums += Eigen::Map<const lanes>(a + i) * Eigen::Map<const lanes>(b + i);
    double sum = static_cast<double>(sums.sum());
    for (; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  }
};

MILKIT_COMPILED_OP(zoom_impl, zoom_rows_step, selection<T>, children<>, matrix_view<const T>, matrix_view<T>,
                   wanted_rows<host_space>);
MILKIT_COMPILED_OP(zoom_impl, zoom_dweights_step, selection<T>, children<>, matrix_view<const T>, matrix_view<const T>,
                   vector_view<T>, wanted_rows<host_space>);
MILKIT_COMPILED_OP(zoom_impl, zoom_dchildren_step, selection<T>, children<>, matrix_view<const T>, matrix_view<T>,
                   wanted_rows<host_space>);
MILKIT_COMPILED_OP(zoom_impl, gather_rows_step, matrix_view<const T>, vector_view<const std::int64_t>, matrix_view<T>);

}  // namespace milkit::ops::detail
