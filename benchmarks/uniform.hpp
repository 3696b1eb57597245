#pragma once

#include <milkit/core/parallel_for.hpp>
#include <milkit/core/tensor.hpp>

namespace milkit::bench {

/// Numbers in [-1, 1) that differ from place to place; quick, because some bags have 10^8 of them.
template <class T, int Rank>
void fill_uniform(view<T, Rank> x, std::uint64_t seed) {
  cpu every_core;
  parallel_for(every_core, x.rows(), 256, [&](row_range rows) {
    for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i)
      for (std::int64_t j = 0; j < x.row_size(); ++j) {
        std::uint64_t bits = (static_cast<std::uint64_t>(i * x.row_size() + j) + seed) * 0x9E3779B97F4A7C15u;
        bits = (bits ^ (bits >> 32)) * 0xD6E8FEB86659FD93u;
        x.row(i)[j] = static_cast<T>(static_cast<double>(bits >> 11) * 0x1p-52 - 1);
      }
  });
}
template <class T, int Rank>
tensor<T, Rank> uniform_tensor(shape<Rank> shape, std::uint64_t seed) {
  tensor<T, Rank> x(shape);
  fill_uniform(x.view(), seed);
  return x;
}

}  // namespace milkit::bench
