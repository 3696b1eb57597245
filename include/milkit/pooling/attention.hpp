#pragma once

#include <milkit/pooling/scored_attention.hpp>

namespace milkit::pooling {

/// Attention pooling (Ilse, Tomczak & Welling 2018, eq. 8): z_i = w . tanh(V h_i + b_V) + b_w, a = softmax(z), g = sum
/// a_i h_i. `Function` may be another branch activation (ops::relu_function, ops::gelu_function); `Bias = false` leaves
/// all biases out, as AB-MIL in MHIM-MIL does. `attention<512, 128>{.dropout = 0.25}`.
template <std::int64_t D, std::int64_t Width, class Function = ops::tanh_function, bool Bias = true>
using attention = scored_attention<D, Width, 1, 1, Function, Bias>;

}  // namespace milkit::pooling
