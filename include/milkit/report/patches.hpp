#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/report/canvas.hpp>
#include <milkit/report/font.hpp>
#include <milkit/report/heatmap.hpp>

namespace milkit::report {

/// A picture of which only the patches remain, each as bright as its weight (Ilse et al. 2018, figure 5): the smallest
/// weight is black, the largest leaves its patch as it is, and so do equal weights all of them. Where patches
/// overlap the largest weight counts; a weight that is not finite shows nothing. Other than one weight a patch:
/// shape_error.
MILKIT_INLINE rgb_image draw_weighted_patches(const rgb_image& picture, std::span<const pixel_rectangle> patches,
                                              std::span<const double> weights);

struct captioned_picture {
  const rgb_image* picture = nullptr;
  std::string caption = {};
};

/// Pictures in a row on white, each below its caption.
MILKIT_INLINE rgb_image draw_side_by_side(std::span<const captioned_picture> pictures);

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/patches.ipp>
#endif
