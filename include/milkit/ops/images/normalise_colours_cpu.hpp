#pragma once

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/normalise_colours.hpp>

namespace milkit::ops::detail {

template <>
struct normalise_colours_impl<cpu> {
  static void run(cpu& backend, view<const std::uint8_t, 4> x, image_view<float> y, const colour_table& table) {
    const std::int64_t height = x.extent(1), width = x.extent(2), plane = height * width;
    parallel_for(backend, x.rows() * height, 32, [&](row_range lines) {
      for (std::int64_t line = lines.first; line < lines.first + lines.count; ++line) {
        const std::uint8_t* from = x.row(line / height) + line % height * width * 3;
        float* to = y.row(line / height) + line % height * width;
        for (std::int64_t j = 0; j < width; ++j)
          for (std::int64_t c = 0; c < 3; ++c) to[c * plane + j] = table.value[c][from[3 * j + c]];
      }
    });
  }
};

}  // namespace milkit::ops::detail
