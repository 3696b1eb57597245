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
inline std::string micron_text(double value) {
  char text[32];
  return {text, static_cast<std::size_t>(std::snprintf(text, sizeof text, "%.5g", value))};
}
inline std::string micron_text(const pixel_microns& pixel) {
  const std::string x = micron_text(pixel.x), y = micron_text(pixel.y);
  return x == y ? x : x + " x " + y;
}

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
inline std::optional<double> number_property(const property_map& properties, const std::string& name) {
  const auto found = properties.find(name);
  if (found == properties.end()) return std::nullopt;
  std::string text = found->second;
  text.erase(0, text.find_first_not_of(" \t"));
  text.erase(text.find_last_not_of(" \t") + 1);
  if (text.find('.') == text.npos && text.find(',') == text.rfind(','))
    if (const auto comma = text.find(','); comma != text.npos) text[comma] = '.';
  double value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// The resolution of a slide, where it is known, and a sentence about what was passed over to find it, or empty.
struct resolution_search {
  std::optional<resolution> known;
  std::string note;
};

namespace detail {

/// What the properties of a file say of the size of a pixel, right or wrong, in the order in which they are asked.
inline std::vector<resolution> claimed_resolutions(const property_map& properties) {
  std::vector<resolution> claims;
  const auto claim = [&](resolution_source source, std::optional<double> x, std::optional<double> y) {
    if (x || y) claims.push_back({{x ? *x : *y, y ? *y : *x}, source});
  };
  const auto number = [&](const char* name) { return number_property(properties, name); };
  claim(resolution_source::mpp_property, number("openslide.mpp-x"), number("openslide.mpp-y"));
  if (claims.empty()) claim(resolution_source::mpp_property, number("aperio.MPP"), {});  // with a decimal comma

  const auto unit = properties.find("tiff.ResolutionUnit");
  const double microns = unit == properties.end()       ? 0
                         : unit->second == "inch"       ? 25400
                         : unit->second == "centimeter" ? 10000
                                                        : 0;
  const auto side = [&](const char* name) -> std::optional<double> {
    const auto dots = number(name);
    return dots && *dots > 0 && microns > 0 ? std::optional(microns / *dots) : std::nullopt;
  };
  claim(resolution_source::tiff_resolution, side("tiff.XResolution"), side("tiff.YResolution"));

  // OpenSlide 3.4.1 takes whole numbers alone for a power, and leaves 20.000000 to the scanner's own property.
  for (const char* name : {"openslide.objective-power", "aperio.AppMag", "hamamatsu.SourceLens", "leica.objective",
                           "mirax.GENERAL.OBJECTIVE_MAGNIFICATION", "trestle.Objective Power", "ventana.Magnification"})
    if (const auto power = number(name); power && *power > 0) {
      claim(resolution_source::objective_power, 10 / *power, {});
      break;
    }
  return claims;
}

inline std::string text_of(const resolution& claim) {
  return message("the ", name_of(claim.source), " says ", micron_text(claim.pixel), " microns a pixel");
}

}  // namespace detail

/// The resolution of a slide with these OpenSlide properties. The user's word `given` comes first; then the first
/// plausible of openslide.mpp-x and -y, tiff.XResolution and YResolution with tiff.ResolutionUnit, and the objective
/// power (10 / power). Plausible is a pixel of `finest_plausible_mpp` to `coarsest_plausible_mpp` microns; the user is
/// believed anything above 0. The note names each figure that was not plausible, and a plausible one of the file that
/// differs from the user's by more than a tenth. Throws value_error where `given` is not a positive number.
inline resolution_search find_resolution(const property_map& properties, std::optional<mpp> given = {}) {
  expect_value(!given || (given->value > 0 && std::isfinite(given->value)), "slide", "the given resolution is ",
               given ? given->value : 0, " microns a pixel, expected more than 0");
  resolution_search search;
  if (given) search.known = resolution{{given->value, given->value}, resolution_source::user};
  const auto plausible = [](double side) { return side >= finest_plausible_mpp && side <= coarsest_plausible_mpp; };
  const auto apart = [&](double side) { return std::abs(side / given->value - 1) > 0.1; };
  const auto note = [&](const std::string& sentence) { search.note += (search.note.empty() ? "" : "; ") + sentence; };
  for (const resolution& claim : detail::claimed_resolutions(properties)) {
    if (!plausible(claim.pixel.x) || !plausible(claim.pixel.y)) {
      note(message(detail::text_of(claim), ", which no slide has, and is passed over"));
      continue;
    }
    if (!given) search.known = claim;
    else if (apart(claim.pixel.x) || apart(claim.pixel.y))
      note(message(detail::text_of(claim), ", but ", micron_text(given->value), " was given and is used"));
    break;
  }
  return search;
}

}  // namespace milkit::slide
