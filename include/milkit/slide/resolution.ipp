#pragma once

#include <milkit/slide/resolution.hpp>

namespace milkit::slide {

MILKIT_INLINE std::string micron_text(double value) {
  char text[32];
  return {text, static_cast<std::size_t>(std::snprintf(text, sizeof text, "%.5g", value))};
}

MILKIT_INLINE std::string micron_text(const pixel_microns& pixel) {
  const std::string x = micron_text(pixel.x), y = micron_text(pixel.y);
  return x == y ? x : x + " x " + y;
}

MILKIT_INLINE std::optional<double> number_property(const property_map& properties, const std::string& name) {
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

}  // namespace milkit::slide

namespace milkit::slide::detail {

MILKIT_INLINE std::vector<resolution> claimed_resolutions(const property_map& properties) {
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

MILKIT_INLINE std::string text_of(const resolution& claim) {
  return message("the ", name_of(claim.source), " says ", micron_text(claim.pixel), " microns a pixel");
}

}  // namespace milkit::slide::detail

namespace milkit::slide {

MILKIT_INLINE resolution_search find_resolution(const property_map& properties, std::optional<mpp> given) {
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
