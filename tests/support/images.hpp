#pragma once

#include <reference/images.hpp>
#include <support/normals.hpp>

namespace milkit::test {

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
