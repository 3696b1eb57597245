#pragma once

#include <milkit/core/random.hpp>
#include <milkit/core/tensor.hpp>

namespace milkit::test {

/// Standard normal numbers; each `seed` gives others.
template <class T, int Rank>
tensor<T, Rank> normals(const shape<Rank>& extents, std::uint64_t seed, double scale = 1) {
  tensor<T, Rank> x(extents);
  const random_stream stream(seed, 0, 0x74657374);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.data()[i] = static_cast<T>(scale * stream.normal<double>(static_cast<std::uint64_t>(i), 0));
  return x;
}

}  // namespace milkit::test
