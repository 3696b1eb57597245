#pragma once

#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

#include <milkit/core/error.hpp>
#include <milkit/core/macros.hpp>
#include <milkit/slide/geometry.hpp>

namespace milkit::slide {

/// Thrown where microns are asked of a slide that does not know the size of its pixels, and nobody told it.
struct resolution_error : value_error {
  using value_error::value_error;
};

/// Where a slide's resolution was found, in the order in which they are asked.
enum class resolution_source { user, mpp_property, tiff_resolution, objective_power };

constexpr std::string_view name_of(resolution_source source) {
  switch (source) {
    case resolution_source::mpp_property:
      return "mpp property";
    case resolution_source::tiff_resolution:
      return "TIFF resolution";
    case resolution_source::objective_power:
      return "objective power";
    default:
      return "user";
  }
}

/// The size of a level-0 pixel and who said so.
struct resolution {
  pixel_microns pixel;
  resolution_source source = resolution_source::user;

  mpp mean() const { return {(pixel.x + pixel.y) / 2}; }
};

/// Microns as people write them: 0.506, where a TIFF's fraction gives 0.50600001; "0.5 x 1" where the sides differ.
MILKIT_INLINE std::string micron_text(double value);
MILKIT_INLINE std::string micron_text(const pixel_microns& pixel);

/// The resolution of level 0 as it is: one target pixel for each of its pixels. Needs no microns.
struct native {};

/// A resolution to read at.
using target_resolution = std::variant<mpp, magnification, native>;

/// No microscope slide is scanned coarser or finer than this. A TIFF that says 72 dots an inch (353 microns a dot)
/// carries the default of the program that wrote it; an objective of 100x in oil gives about 0.1 microns a pixel, and
/// 0.00025 is a figure in millimetres.
inline constexpr double coarsest_plausible_mpp = 20, finest_plausible_mpp = 0.08;

using property_map = std::map<std::string, std::string>;

/// The number that a property holds, if it is there and is a finite number; spaces around it, and a comma in place of
/// its point, are of the program that wrote it.
MILKIT_INLINE std::optional<double> number_property(const property_map& properties, const std::string& name);

/// The resolution of a slide, where it is known, and a sentence about what was passed over to find it, or empty.
struct resolution_search {
  std::optional<resolution> known;
  std::string note;
};

namespace detail {

/// What the properties of a file say of the size of a pixel, right or wrong, in the order in which they are asked.
MILKIT_INLINE std::vector<resolution> claimed_resolutions(const property_map& properties);

MILKIT_INLINE std::string text_of(const resolution& claim);

}  // namespace detail

/// The resolution of a slide with these OpenSlide properties. The user's word `given` comes first; then the first
/// plausible of openslide.mpp-x and -y, tiff.XResolution and YResolution with tiff.ResolutionUnit, and the objective
/// power (10 / power). Plausible is a pixel of `finest_plausible_mpp` to `coarsest_plausible_mpp` microns; the user is
/// believed anything above 0. The note names each figure that was not plausible, and a plausible one of the file that
/// differs from the user's by more than a tenth. Throws value_error where `given` is not a positive number.
MILKIT_INLINE resolution_search find_resolution(const property_map& properties, std::optional<mpp> given = {});

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/resolution.ipp>
#endif
