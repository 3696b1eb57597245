#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/slide/level_rows.hpp>
#include <milkit/slide/openslide_file.hpp>
#include <milkit/slide/partial_tiles.hpp>
#include <milkit/slide/region.hpp>
#include <milkit/slide/resolution.hpp>

namespace milkit::slide {

/// Level-0 pixels that a target pixel is wide and high.
struct pixel_scale {
  double x = 1, y = 1;
};

struct open_options {
  /// The user's word on the size of a level-0 pixel; it comes before what the file says.
  std::optional<mpp> given_mpp = {};
};

struct scaling_options {
  /// A request this close (relatively) to a level's own resolution means that level: 20x on a slide of 0.499 microns a
  /// pixel reads its pixels as they are. 0 resamples to the last digit.
  double snap = 0.01;
  /// Whether a request finer than level 0 may be answered by enlarging; otherwise it is refused by a value_error.
  bool upsample = false;
  /// Up to so many times level 0 is enlarged in any case: what a scanner calls 20x may have 0.55 microns a pixel.
  double slight_upsample = 1.2;

  MILKIT_INLINE bool allow(pixel_scale scale) const;
};

/// A whole-slide image, opened for reading by any number of threads. Move-only; closes its file at the end.
///
/// Pixels are areas: target pixel (i, j) of a region is the average of the slide over its footprint, which is [x + i *
/// s, x + (i + 1) * s) in level-0 pixels for a region that starts at x with `s` level-0 pixels a target pixel. What is
/// transparent or outside the slide is white. An OpenSlide level with downsample d is taken as pixels of d x d level-0
/// pixels from the origin on, which is what `openslide_read_region` does.
///
/// Errors: io_error names the file and what OpenSlide says; resolution_error where microns are asked and unknown.
class whole_slide {
 public:
  MILKIT_INLINE explicit whole_slide(const std::filesystem::path& path, open_options options = {});

  const std::filesystem::path& path() const { return file_->path(); }
  const property_map& properties() const { return properties_; }
  const std::vector<level>& levels() const { return levels_; }

  level0_extent size() const {
    return level0_extent(static_cast<double>(levels_[0].size.width), static_cast<double>(levels_[0].size.height));
  }
  level0_rectangle area() const { return level0_rectangle(level0_point(0, 0), size()); }

  /// Where the scanned area lies (openslide.bounds-*); the whole slide where the file does not say. QuPath counts from
  /// here.
  MILKIT_INLINE level0_rectangle bounds() const;

  /// The size of a level-0 pixel and its source (see `find_resolution`); nothing where it is unknown.
  const std::optional<milkit::slide::resolution>& known_resolution() const { return resolution_.known; }
  /// What the file says of its resolution and is not believed, a sentence; empty where there is nothing to tell.
  const std::string& resolution_note() const { return resolution_.note; }
  MILKIT_INLINE const milkit::slide::resolution& resolution() const;

  /// How many level-0 pixels a pixel at the asked resolution is. Throws resolution_error for microns on a slide that
  /// has none, value_error for a resolution that is not positive, or finer than level 0 by more than the options allow.
  MILKIT_INLINE pixel_scale scale_for(target_resolution target, scaling_options options = {}) const;
  template <class Number>
  requires std::is_arithmetic_v<Number> pixel_scale scale_for(Number, scaling_options = {})
  const {
    static_assert(dependent_false<Number>,
                  "milkit::slide: a number alone is no resolution; say mpp{0.5}, magnification{20} or native{}");
    return {};
  }

  /// Reads `area`, which may lie partly or wholly outside the slide, into all of `picture` `[height, width, 3]`. Where
  /// a target pixel is a pixel of a level and the area starts at a whole level-0 pixel, that level is read as it is (at
  /// a start between two of its pixels, OpenSlide weights them by their share); otherwise the next finer level is
  /// averaged with exact shares. Cost: O(pixels of that level in the area) time, O(one block of 2048 x 2048) memory.
  MILKIT_INLINE void read_region(level0_rectangle area, rgb_view picture, region_buffer& buffer) const;

  MILKIT_INLINE rgb_image read_region(level0_rectangle area, pixel_size size) const;

  /// `size` pixels at a physical resolution, from `origin` on.
  MILKIT_INLINE rgb_image read_region(level0_point origin, target_resolution target, pixel_size size,
                                      scaling_options options = {}) const;
  template <class Frame>
  rgb_image read_region(point<Frame>, target_resolution, pixel_size, scaling_options = {}) const {
    static_assert(std::is_same_v<Frame, level0_frame>,
                  "milkit::slide: a region begins at a level-0 pixel; convert the point by to_level0");
    return {};
  }

  /// The whole slide, its longer side `longest_side` pixels or its own length, whichever is less.
  MILKIT_INLINE rgb_image thumbnail(std::int64_t longest_side) const;

 private:
  std::string name() const { return path().string(); }

  /// The size of a level's tiles; 1 x 1 where the file is not made of tiles.
  MILKIT_INLINE pixel_size tile_of(std::size_t level) const;

  MILKIT_INLINE void find_readable_levels();
  static std::string one_by_one(pixel_size size) { return message(size.width, " x ", size.height); }

  /// The coarsest level that is not coarser than the target; level 0 for a target finer than it.
  MILKIT_INLINE std::int32_t best_level(pixel_scale scale) const;

  const level& at(std::int32_t i) const { return levels_[static_cast<std::size_t>(i)]; }

  MILKIT_INLINE bool reads_straight(level0_rectangle area, pixel_size out, pixel_scale scale, std::int32_t from) const;

  MILKIT_INLINE void read_straight(level0_rectangle area, rgb_view picture, std::int32_t from,
                                   region_buffer& buffer) const;

  MILKIT_INLINE void read_average(level0_rectangle area, rgb_view picture, std::int32_t from,
                                  region_buffer& buffer) const;

  std::unique_ptr<openslide_file> file_;
  property_map properties_;
  std::vector<level> levels_;
  resolution_search resolution_;
};

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/slide.ipp>
#endif
