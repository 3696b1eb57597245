#pragma once

#include <cmath>

#include <milkit/core/backend.hpp>

namespace milkit::ops {

/// Activation functions; what has options has them as members. Each says its value f(x), and its slope f'(x) from x and y = f(x); `slope_from_output` tells
/// that the slope needs y alone, so that the layer may work in place. NaN gives NaN.
struct relu_function {
  static constexpr bool slope_from_output = true;
  /// max(x, 0); the slope at 0 is 0.
  template <class T>
  MILKIT_HD static T value(T x) {
    return x < T(0) ? T(0) : x;
  }
  template <class T>
  MILKIT_HD static T slope(T, T y) {
    const T above = static_cast<T>(y > T(0));
    return y == y ? above : y;  // in this form compilers work on whole vectors
  }
};
struct tanh_function {
  static constexpr bool slope_from_output = true;
  template <class T>
  MILKIT_HD static T value(T x) {
    using std::tanh;
    return tanh(x);
  }
  template <class T>
  MILKIT_HD static T slope(T, T y) {
    return T(1) - y * y;
  }
};
struct sigmoid_function {
  static constexpr bool slope_from_output = true;
  /// 1 / (1 + exp(-x)), without overflow for large |x|.
  template <class T>
  MILKIT_HD static T value(T x) {
    using std::exp;
    const T e = exp(x < T(0) ? x : -x);
    return (x < T(0) ? e : T(1)) / (T(1) + e);
  }
  template <class T>
  MILKIT_HD static T slope(T, T y) {
    return y * (T(1) - y);
  }
};
struct gelu_function {
  static constexpr bool slope_from_output = false;
  /// x Phi(x), the exact form (Hendrycks & Gimpel 2016), Phi the standard normal distribution.
  template <class T>
  MILKIT_HD static T value(T x) {
    return x * phi(x);
  }
  template <class T>
  MILKIT_HD static T slope(T x, T) {
    using std::exp;
    return phi(x) + x * T(0.3989422804014326779399461) * exp(T(-0.5) * x * x);
  }

 private:
  template <class T>
  MILKIT_HD static T phi(T x) {
    using std::erfc;
    return T(0.5) * erfc(-x * T(0.7071067811865475244008444));
  }
};

/// x where x > 0, else negative_slope x; the slope at 0 is negative_slope. Error: value_error for a slope that is negative
/// (it could not be told from the output) or NaN.
struct leaky_relu_function {
  static constexpr bool slope_from_output = true;
  double negative_slope = 0.01;

  template <class T>
  MILKIT_HD T value(T x) const {
    return x < T(0) ? static_cast<T>(negative_slope) * x : x;
  }
  template <class T>
  MILKIT_HD T slope(T, T y) const {
    const T slope = y > T(0) ? T(1) : static_cast<T>(negative_slope);
    return y == y ? slope : y;
  }
  void expect_options(std::string_view op) const {
    expect_value(negative_slope >= 0, op, "negative_slope is ", negative_slope, ", expected 0 or more");
  }
};

namespace detail {
template <class Function>
concept has_options = requires(const Function& f, std::string_view op) {
  f.expect_options(op);
};

template <class Backend>
struct activate_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::activate: no implementation for this backend here; include "
                "<milkit/ops/rows/activation_cpu.hpp> for "
                "cpu or <milkit/ops/rows/activation_cuda.cuh> for cuda");
};
template <class Backend>
struct activate_backward_impl {
  static_assert(dependent_false<Backend>,
                "milkit::ops::activate_backward: no implementation for this backend here; include "
                "<milkit/ops/rows/activation_cpu.hpp> for cpu or <milkit/ops/rows/activation_cuda.cuh> for cuda");
};
}  // namespace detail

/// y = f(x) elementwise; x and y of one shape and any rank, y may be x.
template <backend Backend, class Function, class X, class Y>
requires resident_on<X, Backend> && resident_on<Y, Backend>
void activate(Backend& backend, Function f, X x, Y y) {
  using T = typename Y::value_type;
  using Space = typename Backend::space;
  if constexpr (detail::has_options<Function>) f.expect_options("milkit::ops::activate");
  expect_shape("milkit::ops::activate", "y", y, x.shape());
  execute<detail::activate_impl>(backend, f, matrix_view<const T, Space>(x.as_matrix()), y.as_matrix());
}

/// dx = dy f'(x) elementwise, from x or, where `Function::slope_from_output`, from y; dx may be dy.
template <backend Backend, class Function, class XOrY, class Dy, class Dx>
requires resident_on<XOrY, Backend> && resident_on<Dy, Backend> && resident_on<Dx, Backend>
void activate_backward(Backend& backend, Function f, XOrY x_or_y, Dy dy, Dx dx) {
  using T = typename Dx::value_type;
  using Space = typename Backend::space;
  expect_shape("milkit::ops::activate_backward", "dy", dy, x_or_y.shape());
  expect_shape("milkit::ops::activate_backward", "dx", dx, x_or_y.shape());
  execute<detail::activate_backward_impl>(backend, f, matrix_view<const T, Space>(x_or_y.as_matrix()),
                                          matrix_view<const T, Space>(dy.as_matrix()), dx.as_matrix());
}

}  // namespace milkit::ops
