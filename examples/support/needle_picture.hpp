#pragma once
// Needles in a haystack: pictures of any size on which one kind of small object decides the label.

#include <cstdint>
#include <filesystem>
#include <vector>

#include <milkit/core/image.hpp>
#include <milkit/core/random.hpp>

namespace example {

// Cloudy, grainy ground with a plain disc, square or ring of some colour on every third 64 x 64 pixels. A positive picture has one or
// two needles besides: red rings of `diameter` pixels around a yellow core. There are red rings and yellow discs elsewhere, but never
// together. A function of side, seed and label; any rows of it can be drawn by themselves, by several threads at once.
class needle_picture {
 public:
  struct place {
    double x, y;
  };
  static constexpr std::int64_t diameter = 28;

  needle_picture(std::int64_t side, std::uint64_t seed, bool positive);

  std::int64_t side() const { return side_; }
  bool positive() const { return !needles_.empty(); }
  const std::vector<place>& needles() const { return needles_; }  // their centres

  // Rows `first` to `first + rows` of the picture into the band [any, side, 3], from its row `from` on.
  void draw(std::int64_t first, milkit::rgb_image& band, std::int64_t from, std::int64_t rows) const;

 private:
  void draw_ground(std::int64_t y, std::uint8_t* row) const;

  std::int64_t side_;
  milkit::random_stream ground_, shapes_;
  std::vector<float> grain_;
  std::vector<place> needles_;
};

// As a pyramid of four levels, drawn by `threads` (0: all) as it is written.
void write_needle_slide(const std::filesystem::path& path, const needle_picture& picture, int threads);

}  // namespace example
