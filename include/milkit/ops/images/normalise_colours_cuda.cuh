#pragma once

#include <milkit/core/launch.cuh>
#include <milkit/ops/images/normalise_colours.hpp>

namespace milkit::ops::detail {

struct normalise_colours_element {
  colour_table table;
  view<const std::uint8_t, 4, device_space> x;
  device_images<float> y;
  __device__ void operator()(std::int64_t image, std::int64_t pixel) const {
    const std::uint8_t* from = x.row(image) + 3 * pixel;
    float* to = y.row(image) + pixel;
    for (int c = 0; c < 3; ++c) to[c * x.extent(1) * x.extent(2)] = table.value[c][from[c]];
  }
};

template <>
struct normalise_colours_impl<cuda> {
  static void run(cuda& backend, view<const std::uint8_t, 4, device_space> x, device_images<float> y,
                  const colour_table& table) {
    for_each_element(backend, x.rows(), x.extent(1) * x.extent(2), normalise_colours_element{table, x, y});
  }
};

}  // namespace milkit::ops::detail
