#pragma once

#include <cstdint>

#include <milkit/core/backend.hpp>

namespace milkit::ops {

/// Mean and standard deviation of red, green and blue, of values from 0 to 1.
struct colour_scale {
  double mean[3] = {0, 0, 0};
  double deviation[3] = {1, 1, 1};
};
/// Those of ImageNet, which networks that were trained on it expect.
inline constexpr colour_scale imagenet_colours{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};

namespace detail {
/// What each byte of each colour becomes, computed in double: so that every backend gives the same bits.
struct colour_table {
  float value[3][256];
  explicit colour_table(const colour_scale& scale) {
    for (int c = 0; c < 3; ++c)
      for (int v = 0; v < 256; ++v)
        value[c][v] = static_cast<float>((static_cast<double>(v) / 255 - scale.mean[c]) / scale.deviation[c]);
  }
};

template <class Backend>
struct normalise_colours_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::normalise_colours: no implementation for this backend here; include "
                "<milkit/ops/images/normalise_colours_cpu.hpp> for cpu or "
                "<milkit/ops/images/normalise_colours_cuda.cuh> for cuda");
};
}  // namespace detail

/// 8-bit RGB pictures to what networks take: y[n, c, i, j] = (x[n, i, j, c] / 255 - mean[c]) / deviation[c], rounded to
/// float once. Shapes: x [batch, height, width, 3], y [batch, 3, height, width]; batch may be 0, pictures may lie apart.
/// Errors: shape_error; value_error for a deviation that is not above 0.
template <backend Backend, class X, class Y>
requires resident_on<X, Backend> && resident_on<Y, Backend>
void normalise_colours(Backend& backend, X x, Y y, const colour_scale& scale = imagenet_colours) {
  using Space = typename Backend::space;
  constexpr const char* op = "milkit::ops::normalise_colours";
  expect_extent(op, "colours of x", x.extent(3), 3);
  expect_shape(op, "y", y, shape<4>{x.extent(0), 3, x.extent(1), x.extent(2)});
  for (const double each : scale.deviation) expect_value(each > 0, op, "a deviation is ", each, ", expected above 0");
  execute<detail::normalise_colours_impl>(backend, view<const std::uint8_t, 4, Space>(x), image_view<float, Space>(y),
                                          detail::colour_table(scale));
}

}  // namespace milkit::ops
