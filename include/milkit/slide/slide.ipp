#pragma once

#include <milkit/slide/slide.hpp>

namespace milkit::slide {

MILKIT_INLINE bool scaling_options::allow(pixel_scale scale) const {
  const double least = upsample ? 0 : 1 / (std::max)(slight_upsample, 1.0) - 1e-9;
  return scale.x >= least && scale.y >= least;
}

MILKIT_INLINE whole_slide::whole_slide(const std::filesystem::path& path, open_options options)
    : file_(std::make_unique<openslide_file>(path)), properties_(file_->properties()) {
  for (std::int32_t i = 0; i < file_->level_count(); ++i) {
    level one;
    file_->level_dimensions(i, one.size.width, one.size.height);
    one.factor.value = file_->level_downsample(i);
    if (one.size.width < 1 || one.size.height < 1 || !(one.factor.value > 0))
      throw io_error(message("slide ", name(), ": level ", i, " is ", one.size.width, " x ", one.size.height,
                             " pixels with downsample ", one.factor.value, ", expected all to be positive"));
    levels_.push_back(one);
  }
  if (levels_.empty()) throw io_error(message("slide ", name(), ": it has 0 levels, expected 1 or more"));
  find_readable_levels();
  resolution_ = find_resolution(properties_, options.given_mpp);
}

MILKIT_INLINE level0_rectangle whole_slide::bounds() const {
  const auto x = number_property(properties_, "openslide.bounds-x"),
             y = number_property(properties_, "openslide.bounds-y");
  const auto width = number_property(properties_, "openslide.bounds-width");
  const auto height = number_property(properties_, "openslide.bounds-height");
  if (!x || !y || !width || !height) return area();
  return level0_rectangle(level0_point(*x, *y), level0_extent(*width, *height));
}

MILKIT_INLINE const milkit::slide::resolution& whole_slide::resolution() const {
  if (!resolution_.known)
    throw resolution_error(message(
        "slide ", name(), ": neither an mpp property nor a TIFF resolution nor an objective power tells the size of ",
        "its pixels", resolution_note().empty() ? "" : " (" + resolution_note() + ")",
        "; it must be given (open_options.given_mpp)"));
  return *resolution_.known;
}

MILKIT_INLINE pixel_scale whole_slide::scale_for(target_resolution target, scaling_options options) const {
  if (std::holds_alternative<native>(target)) return {};
  const bool magnified = std::holds_alternative<magnification>(target);
  const double asked = magnified ? to_mpp(std::get<magnification>(target)).value : std::get<mpp>(target).value;
  expect_value(asked > 0 && std::isfinite(asked), message("slide ", name()), "the asked resolution is ", asked,
               " microns a pixel, expected more than 0");
  const pixel_microns pixel = resolution().pixel;
  const pixel_scale wanted{asked / pixel.x, asked / pixel.y};
  for (const level& one : levels_)
    if (std::abs(wanted.x / one.factor.value - 1) <= options.snap &&
        std::abs(wanted.y / one.factor.value - 1) <= options.snap)
      return {one.factor.value, one.factor.value};
  expect_value(options.allow(wanted), message("slide ", name()), "the asked resolution is ", micron_text(asked),
               " microns a pixel, finer than level 0 with ", micron_text(pixel), "; ask for a coarser one",
               magnified ? message(": a lower magnification than ", micron_text(10 / asked), "x") : "");
  return wanted;
}

MILKIT_INLINE void whole_slide::read_region(level0_rectangle area, rgb_view picture, region_buffer& buffer) const {
  const pixel_size out = size_of(picture);
  expect_extent("milkit::slide::read_region", "picture.extent(2)", picture.extent(2), 3);
  const auto sane = [](double v) { return std::abs(v) < 1e15; };
  expect_value(sane(area.origin.x) && sane(area.origin.y) && sane(area.right()) && sane(area.bottom()) &&
                   area.size.width > 0 && area.size.height > 0,
               message("slide ", name()), "the region is ", area.size.width, " x ", area.size.height, " at (",
               area.origin.x, ", ", area.origin.y, "), expected finite numbers and a positive size");
  if (out.width == 0 || out.height == 0) return;
  const pixel_scale scale{area.size.width / static_cast<double>(out.width),
                          area.size.height / static_cast<double>(out.height)};
  const std::int32_t from = best_level(scale);
  if (reads_straight(area, out, scale, from)) read_straight(area, picture, from, buffer);
  else read_average(area, picture, from, buffer);
}

MILKIT_INLINE rgb_image whole_slide::read_region(level0_rectangle area, pixel_size size) const {
  rgb_image picture(shape{size.height, size.width, std::int64_t{3}});
  region_buffer buffer;
  read_region(area, picture.view(), buffer);
  return picture;
}

MILKIT_INLINE rgb_image whole_slide::read_region(level0_point origin, target_resolution target, pixel_size size,
                                                 scaling_options options) const {
  const pixel_scale scale = scale_for(target, options);
  return read_region(level0_rectangle(origin, level0_extent(static_cast<double>(size.width) * scale.x,
                                                            static_cast<double>(size.height) * scale.y)),
                     size);
}

MILKIT_INLINE rgb_image whole_slide::thumbnail(std::int64_t longest_side) const {
  expect_value(longest_side >= 1, "milkit::slide::thumbnail", "longest_side is ", longest_side, ", expected 1 or more");
  const double scale = (std::max)({size().width, size().height, 1.0}) / static_cast<double>(longest_side);
  const auto side = [&](double length) { return (std::max)(std::llround(length / (std::max)(scale, 1.0)), 1LL); };
  return read_region(area(), pixel_size{side(size().width), side(size().height)});
}

MILKIT_INLINE pixel_size whole_slide::tile_of(std::size_t level) const {
  const auto side = [&](const char* name) {
    const auto told = number_property(properties_, message("openslide.level[", level, "].tile-", name));
    return told && *told >= 1 && *told < 1e9 ? static_cast<std::int64_t>(*told) : std::int64_t{1};
  };
  return {side("width"), side("height")};
}

MILKIT_INLINE void whole_slide::find_readable_levels() {
  std::optional<std::vector<tiff_directory>> directories;  // read only where some level does not fill its tiles
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    level& one = levels_[i];
    const pixel_size tile = tile_of(i);
    if (one.size.width % tile.width == 0 && one.size.height % tile.height == 0) continue;
    if (!directories) directories = tiff_directories(path());
    one.readable = level_is_readable(one.size, tile, *directories);
  }
  if (!levels_[0].readable)
    throw io_error(message("slide ", name(), ": level 0 has ", one_by_one(levels_[0].size), " pixels in tiles of ",
                           one_by_one(tile_of(0)), ", of which this OpenSlide leaves out pixels without a word; ",
                           "save it with JPEG compression, or with tiles that are not larger than the picture"));
}

MILKIT_INLINE std::int32_t whole_slide::best_level(pixel_scale scale) const {
  const double limit = (std::min)(scale.x, scale.y) * (1 + 1e-9);
  std::int32_t best = 0;
  for (std::int32_t i = 1; i < static_cast<std::int32_t>(levels_.size()); ++i)
    if (at(i).readable && at(i).factor.value <= limit && at(i).factor.value > at(best).factor.value) best = i;
  return best;
}

MILKIT_INLINE bool whole_slide::reads_straight(level0_rectangle area, pixel_size out, pixel_scale scale,
                                               std::int32_t from) const {
  const double factor = at(from).factor.value;
  const bool same = std::abs(scale.x / factor - 1) < 1e-9 && std::abs(scale.y / factor - 1) < 1e-9;
  const bool whole = std::floor(area.origin.x) == area.origin.x && std::floor(area.origin.y) == area.origin.y;
  // OpenSlide drops the fraction of a negative start, and reads in blocks of 4096 that each start at a whole pixel.
  const bool exact =
      factor == 1 || (area.origin.x >= 0 && area.origin.y >= 0 && out.width <= 4096 && out.height <= 4096);
  return same && whole && exact;
}

MILKIT_INLINE void whole_slide::read_straight(level0_rectangle area, rgb_view picture, std::int32_t from,
                                              region_buffer& buffer) const {
  const pixel_size out = size_of(picture);
  const auto count = static_cast<std::size_t>(out.width * out.height);
  if (buffer.argb.size() < count) buffer.argb.resize(count);
  file_->read(buffer.argb.data(), static_cast<std::int64_t>(area.origin.x), static_cast<std::int64_t>(area.origin.y),
              from, out.width, out.height);
  if (picture.contiguous()) return argb_over_white(buffer.argb.data(), out.width * out.height, picture.data());
  for (std::int64_t y = 0; y < out.height; ++y)
    argb_over_white(buffer.argb.data() + y * out.width, out.width, picture.row(y));
}

MILKIT_INLINE void whole_slide::read_average(level0_rectangle area, rgb_view picture, std::int32_t from,
                                             region_buffer& buffer) const {
  const pixel_size out = size_of(picture);
  const level_rectangle source = to_level(area, at(from).factor);
  const double step_x = source.size.width / static_cast<double>(out.width);
  const double step_y = source.size.height / static_cast<double>(out.height);
  const auto block_of = [](double step) {
    return (std::max)(static_cast<std::int64_t>(static_cast<double>(detail::level_rows::block_side) / step),
                      std::int64_t{1});
  };
  const std::int64_t block_x = block_of(step_x), block_y = block_of(step_y);
  for (std::int64_t top = 0; top < out.height; top += block_y)
    for (std::int64_t left = 0; left < out.width; left += block_x) {
      const std::int64_t width = (std::min)(block_x, out.width - left), height = (std::min)(block_y, out.height - top);
      const double x = source.origin.x + static_cast<double>(left) * step_x;
      const double y = source.origin.y + static_cast<double>(top) * step_y;
      const detail::aligned_start start_x(static_cast<std::int64_t>(std::floor(x)) - 1, at(from).factor);
      const detail::aligned_start start_y(static_cast<std::int64_t>(std::floor(y)) - 1, at(from).factor);
      const detail::axis_weights columns(x - start_x.shift, step_x, width), rows(y - start_y.shift, step_y, height);
      detail::level_rows source_rows(*file_, from, at(from), start_x, start_y, columns, rows, buffer);
      const rgb_view block(picture.row(top) + 3 * left, shape{height, width, std::int64_t{3}}, picture.stride());
      // Sums of more than a thousand terms are kept in double.
      if (step_x * step_y > 1000) detail::area_average<double>(columns, rows, source_rows, block);
      else detail::area_average<float>(columns, rows, source_rows, block);
    }
}

}  // namespace milkit::slide
