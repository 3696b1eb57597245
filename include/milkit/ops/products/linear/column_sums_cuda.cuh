#pragma once

#include <milkit/core/launch.cuh>

namespace milkit::ops::detail {

/// Sums down columns in two steps whose order depends on the number of rows alone: blocks of rows leave partial sums in double
/// (of at most 128 terms each in their own type), which are then added in ascending order. `Terms` gives the term of row i and column j, and may write as it goes.
struct row_blocks {
  static constexpr std::int64_t least = 256, most_blocks = 512;

  explicit row_blocks(std::int64_t rows)
      : rows_a_block((std::max)(least, chunk_count(rows, most_blocks))), count(chunk_count(rows, rows_a_block)) {}
  std::int64_t rows_a_block, count;
};

template <class Terms>
struct column_sums_kernel {
  static constexpr int threads = 256, columns = 32, row_lanes = threads / columns;
  Terms terms;
  std::int64_t rows, cols, rows_a_block;
  device_matrix<double> partial;  ///< [blocks, cols]

  __device__ void operator()() const {
    __shared__ double sums[row_lanes][columns];
    const auto lane = static_cast<std::int64_t>(threadIdx.x) / columns,
               column = static_cast<std::int64_t>(threadIdx.x) % columns;
    const std::int64_t j = std::int64_t{blockIdx.y} * columns + column;
    const std::int64_t first = std::int64_t{blockIdx.x} * rows_a_block;
    const std::int64_t last = first + rows_a_block < rows ? first + rows_a_block : rows;
    double sum =
        j < cols ? blocked_sum(first + lane, last, row_lanes, [&](std::int64_t i) { return terms(i, j); }) : 0.0;
    sums[lane][column] = sum;
    __syncthreads();
    if (lane != 0 || j >= cols) return;
    for (int other = 1; other < row_lanes; ++other) sum += sums[other][column];
    partial(std::int64_t{blockIdx.x}, j) = sum;
  }
};

/// sums[j] += sum_b partial[b, j]; a warp a column where there are many blocks would be no faster: the table is small.
template <class T>
struct add_partial_element {
  device_matrix<const double> partial;
  device_vector<T> sums;
  __device__ void operator()(std::int64_t, std::int64_t j) const {
    double sum = 0;
    for (std::int64_t b = 0; b < partial.rows(); ++b) sum += partial(b, j);
    sums(j) += static_cast<T>(sum);
  }
};

inline device_matrix<double> column_sums_scratch(cuda& backend, std::int64_t rows, std::int64_t cols) {
  return backend.workspace.template allocate<double>(shape<2>{row_blocks(rows).count, cols});
}
template <class Terms>
void column_sums(cuda& backend, device_matrix<double> partial, std::int64_t rows, const Terms& terms) {
  using kernel = column_sums_kernel<Terms>;
  const row_blocks blocks(rows);
  launch(backend, {blocks.count, chunk_count(partial.cols(), kernel::columns)},
         kernel{terms, rows, partial.cols(), blocks.rows_a_block, partial});
}
template <class T>
void add_partial(cuda& backend, device_matrix<double> partial, device_vector<T> sums) {
  for_each_element(backend, 1, sums.extent(0), add_partial_element<T>{partial, sums});
}

}  // namespace milkit::ops::detail
