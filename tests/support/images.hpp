#pragma once

#include <milkit/core/random.hpp>
#include <milkit/core/tensor.hpp>

#include <reference/images.hpp>

namespace milkit::test {

template <class T, int Rank>
tensor<T, Rank> normal_tensor(shape<Rank> shape, std::uint64_t seed) {
  tensor<T, Rank> x(shape);
  const random_stream stream(seed, 0, 0);
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = stream.normal<T>(static_cast<std::uint64_t>(i), 0);
  return x;
}

template <class T>
reference::images plain(const view<T, 4>& x) {
  reference::images copy(static_cast<int>(x.extent(0)), static_cast<int>(x.extent(1)), static_cast<int>(x.extent(2)),
                         static_cast<int>(x.extent(3)));
  std::size_t at = 0;
  for (std::int64_t i = 0; i < x.rows(); ++i)
    for (std::int64_t j = 0; j < x.row_size(); ++j) copy.values[at++] = static_cast<double>(x.row(i)[j]);
  return copy;
}
template <class T>
reference::images plain(const tensor<T, 4>& x) {
  return plain(x.view());
}

}  // namespace milkit::test
