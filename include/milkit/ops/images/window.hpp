#pragma once

#include <array>
#include <string_view>

#include <milkit/core/view.hpp>

namespace milkit::ops {

/// Two numbers for the two axes of an image: (vertical, horizontal).
using per_axis = std::array<std::int64_t, 2>;

/// How many windows of `kernel` elements, `stride` apart, fit along an axis of `size` elements with `padding` more on
/// either side: floor((size + 2 padding - kernel) / stride) + 1. Errors: shape_error where not one fits; value_error
/// for a kernel or stride below 1 or a negative padding.
inline std::int64_t window_count(std::string_view op, std::int64_t size, std::int64_t kernel, std::int64_t stride,
                                 std::int64_t padding) {
  expect_value(kernel >= 1, op, "the kernel's extent is ", kernel, ", expected 1 or more");
  expect_value(stride >= 1, op, "the stride is ", stride, ", expected 1 or more");
  expect_value(padding >= 0, op, "the padding is ", padding, ", expected 0 or more");
  if (size + 2 * padding < kernel)
    throw shape_error(message(op, ": an image's extent is ", size, " and its padding ", padding, ", expected at least ",
                              kernel, " together on both sides, the kernel's extent"));
  return (size + 2 * padding - kernel) / stride + 1;
}

}  // namespace milkit::ops
