#pragma once

#include <milkit/core/backend.hpp>

/// Regularisers. They ask something of attention itself: of distributions p, the softmax of logits in each of `segments`
/// stretches of a vector (`ops::segment_softmax`). A regulariser is a small value; its options are members:
///
///     void evaluate(backend, offsets, p, [target,] scale, values, dlogits) const;
///     std::string settings() const;                  // its name with its options, for checkpoints
///
/// with offsets [segments + 1], p and target [n]. `evaluate` queues its work and waits for nothing: `values` [segments], in
/// double and in the backend's memory, get each segment's loss, and `scale` times the gradient of their sum in the logits is
/// ADDED to `dlogits` [n] (left out where absent), to what the network's loss asks of them. Segments have each their own
/// loss, a plain sum over their entries. An empty segment has the value 0; NaN in a segment stays in it.
namespace milkit::loss {}
