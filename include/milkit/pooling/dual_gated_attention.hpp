#pragma once

#include <milkit/pooling/scored_attention.hpp>

namespace milkit::pooling {

/// Dual gated attention (Thandiackal et al. 2022): two independent gated attentions on one bag. The first gives the
/// embedding, the second only its distribution a' over the instances, which decides where to zoom; logits and attention
/// have two columns. The four branch matrices are one product.
template <std::int64_t D, std::int64_t Width, class Function = ops::tanh_function, bool Bias = true>
using dual_gated_attention = scored_attention<D, Width, 2, 2, Function, Bias>;

}  // namespace milkit::pooling
