#pragma once

#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>

#include <milkit/core/error.hpp>
#include <milkit/slide/geometry.hpp>

namespace milkit::slide {

/// Thrown where microns are asked of a slide that does not know the size of its pixels, and nobody told it.
struct resolution_error : value_error {
  using value_error::value_error;
};

/// Where a slide's resolution was found, in the order in which they are asked.
enum class resolution_source { mpp_property, tiff_resolution, objective_power, user };

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

/// The resolution of level 0 as it is: one target pixel for each of its pixels. Needs no microns.
struct native {};

/// A resolution to read at.
using target_resolution = std::variant<mpp, magnification, native>;

/// No microscope slide is scanned coarser than this; a TIFF that says so (72 dots an inch are 353 microns a dot)
/// carries the default of the program that wrote it.
inline constexpr double coarsest_plausible_mpp = 20;

using property_map = std::map<std::string, std::string>;

/// The number that a property holds, if it is there and is a finite number.
inline std::optional<double> number_property(const property_map& properties, const std::string& name) {
  const auto found = properties.find(name);
  if (found == properties.end()) return std::nullopt;
  double value = 0;
  const std::string& text = found->second;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// The resolution of a slide with these OpenSlide properties. Asked in this order, and the first plausible answer
/// holds: openslide.mpp-x and -y; tiff.XResolution and YResolution with tiff.ResolutionUnit; openslide.objective-power
/// (10 / power); the user's word `given`. Plausible is a pixel of more than 0 and at most `coarsest_plausible_mpp`
/// microns; the user is believed anything above 0. Throws value_error where `given` is not a positive number, needed or
/// not.
inline std::optional<resolution> find_resolution(const property_map& properties, std::optional<mpp> given = {}) {
  expect_value(!given || (given->value > 0 && std::isfinite(given->value)), "milkit::slide::find_resolution",
               "the given resolution is ", given ? given->value : 0, " microns a pixel, expected more than 0");
  const auto plausible = [](std::optional<double> x, std::optional<double> y) -> std::optional<pixel_microns> {
    if (!x) x = y;
    if (!y) y = x;
    const auto good = [](std::optional<double> side) { return side && *side > 0 && *side <= coarsest_plausible_mpp; };
    if (!good(x) || !good(y)) return std::nullopt;
    return pixel_microns{*x, *y};
  };
  if (const auto pixel =
          plausible(number_property(properties, "openslide.mpp-x"), number_property(properties, "openslide.mpp-y")))
    return resolution{*pixel, resolution_source::mpp_property};

  const auto unit = properties.find("tiff.ResolutionUnit");
  const double microns = unit == properties.end()       ? 0
                         : unit->second == "inch"       ? 25400
                         : unit->second == "centimeter" ? 10000
                                                        : 0;
  const auto side = [&](const char* name) -> std::optional<double> {
    const auto dots = number_property(properties, name);
    return dots && microns > 0 ? std::optional(microns / *dots) : std::nullopt;
  };
  if (const auto pixel = plausible(side("tiff.XResolution"), side("tiff.YResolution")))
    return resolution{*pixel, resolution_source::tiff_resolution};

  if (const auto power = number_property(properties, "openslide.objective-power"))
    if (const auto pixel = plausible(10 / *power, 10 / *power))
      return resolution{*pixel, resolution_source::objective_power};

  if (given) return resolution{{given->value, given->value}, resolution_source::user};
  return std::nullopt;
}

}  // namespace milkit::slide
