#include "needle_picture.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <milkit/core/parallel_for.hpp>

#include "tiff_pyramid.hpp"

namespace example {

namespace {

using colour = std::array<float, 3>;
constexpr std::int64_t grain_side = 256, cloud = 64, cell = 64;
constexpr colour red = {176, 40, 52}, yellow = {240, 214, 92};
constexpr std::array<colour, 6> colours = {
    red, yellow, colour{58, 96, 168}, colour{70, 140, 84}, colour{122, 74, 150}, colour{90, 84, 78}};
enum class kind : std::uint8_t { disc, square, ring };

struct shape {
  double x, y, radius;
  kind what;
  colour inside;
};

// A part of the picture: rows `first` to `first + rows`, from row `from` of the band on.
struct part {
  milkit::rgb_image& band;
  std::int64_t first, from, rows;
};

// Where the shape covers a pixel by a share, that share of its colour.
void draw(const shape& one, const part& to) {
  const auto reach = static_cast<std::int64_t>(std::ceil(one.radius)) + 1;
  const auto cx = static_cast<std::int64_t>(one.x), cy = static_cast<std::int64_t>(one.y);
  for (std::int64_t y = std::max(cy - reach, to.first); y <= std::min(cy + reach, to.first + to.rows - 1); ++y)
    for (std::int64_t x = std::max(cx - reach, std::int64_t{0}); x <= std::min(cx + reach, to.band.extent(1) - 1); ++x) {
      const double u = static_cast<double>(x) + 0.5 - one.x, v = static_cast<double>(y) + 0.5 - one.y;
      const double from_centre = one.what == kind::square ? std::max(std::abs(u), std::abs(v)) : std::hypot(u, v);
      double share = std::clamp(one.radius - from_centre + 0.5, 0.0, 1.0);
      if (one.what == kind::ring) share *= std::clamp(from_centre - one.radius / 2 + 0.5, 0.0, 1.0);
      std::uint8_t* at = milkit::pixel(to.band, y - to.first + to.from, x);
      for (std::size_t c = 0; c < 3; ++c) {
        const double below = at[c];
        at[c] = static_cast<std::uint8_t>(below + (static_cast<double>(one.inside[c]) - below) * share + 0.5);
      }
    }
}

}  // namespace

needle_picture::needle_picture(std::int64_t side, std::uint64_t seed, bool positive)
    : side_(side), ground_(seed, 1, 0x6E6565646C65), shapes_(seed, 2, 0x6E6565646C65), grain_(grain_side * grain_side) {
  for (std::size_t i = 0; i < grain_.size(); ++i) grain_[i] = 20 * (ground_.uniform<float>(i, 1) - 0.5f);
  if (!positive) return;
  const milkit::random_stream random(seed, 3, 0x6E6565646C65);
  const double margin = diameter, room = static_cast<double>(side) - 2 * margin;
  const std::uint64_t count = 1 + random.below(2, 0, 0);
  for (std::uint64_t i = 1; i <= count; ++i)
    needles_.push_back({margin + room * random.uniform<double>(i, 0), margin + room * random.uniform<double>(i, 1)});
}

void needle_picture::draw_ground(std::int64_t y, std::uint8_t* row) const {
  const auto node = [&](std::int64_t i, std::int64_t j) {
    return ground_.uniform<float>(static_cast<std::uint64_t>(i) << 32 | static_cast<std::uint64_t>(j), 0);
  };
  const std::int64_t i = y / cloud;
  const float down = static_cast<float>(y % cloud) / cloud;
  const auto at = [&](std::int64_t j) { return (1 - down) * node(i, j) + down * node(i + 1, j); };
  float left = at(0), right = at(1);
  for (std::int64_t x = 0; x < side_; ++x) {
    if (x % cloud == 0 && x > 0) left = right, right = at(x / cloud + 1);
    const float across = static_cast<float>(x % cloud) / cloud;
    const float light = 40 * ((1 - across) * left + across * right) +
                        grain_[static_cast<std::size_t>(y % grain_side * grain_side + (x + y / grain_side * 37) % grain_side)];
    row[3 * x] = static_cast<std::uint8_t>(178 + light);
    row[3 * x + 1] = static_cast<std::uint8_t>(170 + light);
    row[3 * x + 2] = static_cast<std::uint8_t>(166 + light);
  }
}

void needle_picture::draw(std::int64_t first, milkit::rgb_image& band, std::int64_t from, std::int64_t rows) const {
  for (std::int64_t y = 0; y < rows; ++y) draw_ground(first + y, milkit::pixel(band, from + y, 0));
  const part to{band, first, from, rows};
  const std::int64_t cells = (side_ + cell - 1) / cell;
  for (std::int64_t i = std::max((first - diameter) / cell, std::int64_t{0});
       i < std::min((first + rows + diameter) / cell + 1, cells); ++i)
    for (std::int64_t j = 0; j < cells; ++j) {
      const auto number = static_cast<std::uint64_t>(i * cells + j);
      if (shapes_.below(3, number, 0) != 0) continue;
      const auto within = [&](std::int64_t of, std::uint64_t draw) {
        return static_cast<double>(of * cell) + static_cast<double>(cell) * shapes_.uniform<double>(number, draw);
      };
      const shape one{within(j, 1), within(i, 2), 9 + 6 * shapes_.uniform<double>(number, 3),
                      static_cast<kind>(shapes_.below(3, number, 4)), colours[shapes_.below(colours.size(), number, 5)]};
      const bool clear = std::none_of(needles_.begin(), needles_.end(), [&](const place& n) {
        return std::hypot(n.x - one.x, n.y - one.y) < 1.5 * diameter;
      });
      if (clear) example::draw(one, to);
    }
  for (const place& n : needles_) {
    example::draw({n.x, n.y, diameter / 2.0, kind::disc, red}, to);
    example::draw({n.x, n.y, diameter / 4.0, kind::disc, yellow}, to);
  }
}

void write_needle_slide(const std::filesystem::path& path, const needle_picture& picture, int threads) {
  milkit::cpu cpu{.threads = threads};
  const auto rows = [&](std::int64_t first, milkit::rgb_image& band) {
    milkit::parallel_for(cpu, band.extent(0), 32, [&](milkit::row_range own) {
      picture.draw(first + own.first, band, own.first, own.count);
    });
  };
  write_tiff_pyramid(path, picture.side(), picture.side(), rows, 0.5, 4, 85);
}

}  // namespace example
