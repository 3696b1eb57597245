#pragma once
// Procedural tissue: a picture that looks like haematoxylin and eosin at 0.5 microns a pixel, and the truth about it.

#include <cstdint>

#include <milkit/core/image.hpp>
#include <milkit/core/random.hpp>

namespace example {

// What the slides of one patient share.
struct patient {
  std::uint64_t seed = 0;
  bool positive = false;
};

struct tissue_picture {
  milkit::rgb_image pixels;                   // [side, side, 3]
  milkit::tensor<std::uint8_t, 3> lesion;     // [side / truth_step, side / truth_step, 1]: 255 in the lesion
  double tissue_share = 0, lesion_share = 0;  // of the picture; of the tissue
};
constexpr std::int64_t truth_step = 16;  // level-0 pixels a pixel of the truth

// Stroma with spindle-shaped nuclei, lobules of glands, crowds of lymphocytes, fat, glass around it, and on some slides
// a fold, a tear or a stroke of a pen. Size and staining of nuclei vary from patient to patient. In a positive slide the
// epithelial nuclei of a small area (0.2 to 2 % of the tissue) within one lobule are larger, denser and of coarser
// chromatin, but paler, so that the area is as dark as its surroundings: what tells it is fine detail. Lobules are there
// in every slide, and can be seen from afar. A function of its arguments alone.
tissue_picture draw_tissue(std::int64_t side, const patient& who, std::uint64_t slide);

}  // namespace example
