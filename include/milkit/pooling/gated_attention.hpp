#pragma once

#include <milkit/pooling/scored_attention.hpp>

namespace milkit::pooling {

/// Gated attention pooling (Ilse, Tomczak & Welling 2018, eq. 9): z_i = w . (tanh(V h_i + b_V) * sigmoid(U h_i + b_U))
/// + b_w, a = softmax(z), g = sum a_i h_i. `Function` replaces tanh (ops::relu_function, ops::gelu_function); `Bias =
/// false` leaves all biases out. 262 913 parameters at D = 512, L = 256.
template <std::int64_t D, std::int64_t Width, class Function = ops::tanh_function, bool Bias = true>
using gated_attention = scored_attention<D, Width, 2, 1, Function, Bias>;

}  // namespace milkit::pooling
