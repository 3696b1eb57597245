#pragma once

#include <string>

#include <milkit/loss/regulariser.hpp>
#include <milkit/ops/training/distribution_loss.hpp>

namespace milkit::loss {

/// Attention told where to look (Kong & Henao 2022, eq. 13): L = sum_i (m_i - p_i)^2 of a mask m [n], 1 where an annotation
/// touches the tile or position and 0 elsewhere; gradient 2 (p - m) in p, then through the softmax. The same for tiles (stage
/// 1) and for the positions of a tile (stage 2). Errors: as ops::distribution_loss.
struct pixel_supervision {
  std::string settings() const { return "pixel supervision"; }

  template <backend Backend, class Offsets, class P, class Mask, class Values, class Dlogits>
  void evaluate(Backend& backend, Offsets offsets, P p, Mask mask, double scale, Values values, Dlogits dlogits) const {
    ops::distribution_loss(backend, ops::squared_difference{}, offsets, p, mask, scale, values, dlogits);
  }
};

}  // namespace milkit::loss
