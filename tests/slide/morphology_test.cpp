#include <milkit/slide/morphology.hpp>

#include <random>
#include <string>

#include <doctest/doctest.h>

using namespace milkit::slide;

namespace {

mask_image mask_from(const std::vector<std::string>& rows) {
  mask_image mask(milkit::shape{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows[0].size())});
  for (std::size_t y = 0; y < rows.size(); ++y)
    for (std::size_t x = 0; x < rows[y].size(); ++x)
      mask.view()(static_cast<std::int64_t>(y), static_cast<std::int64_t>(x)) = rows[y][x] == '#' ? 1 : 0;
  return mask;
}

std::vector<std::string> text_of(const mask_image& mask) {
  std::vector<std::string> rows;
  for (std::int64_t y = 0; y < mask.extent(0); ++y) {
    rows.emplace_back();
    for (std::int64_t x = 0; x < mask.extent(1); ++x) rows.back() += mask.view()(y, x) ? '#' : '.';
  }
  return rows;
}

mask_image noise(std::int64_t height, std::int64_t width) {
  mask_image mask(milkit::shape{height, width});
  std::mt19937 random(static_cast<unsigned>(17 * height + width));
  for (std::int64_t i = 0; i < mask.size(); ++i) mask.data()[i] = random() % 2;
  return mask;
}

}  // namespace

TEST_CASE("box filters count the square around each pixel, cut off at the border") {
  for (const auto& [height, width] : {std::pair{1, 1}, {1, 9}, {7, 1}, {13, 8}})
    for (const int radius : {0, 1, 2, 20}) {
      const mask_image before = noise(height, width);
      mask_image majority = before.clone(), wide = before.clone(), narrow = before.clone();
      median(majority, radius);
      dilate(wide, radius);
      erode(narrow, radius);
      for (std::int64_t y = 0; y < height; ++y)
        for (std::int64_t x = 0; x < width; ++x) {
          int set = 0, all = 0;
          for (std::int64_t v = y - radius; v <= y + radius; ++v)
            for (std::int64_t u = x - radius; u <= x + radius; ++u)
              if (u >= 0 && v >= 0 && u < width && v < height) ++all, set += before.view()(v, u);
          CHECK(majority.view()(y, x) == (2 * set > all));
          CHECK(wide.view()(y, x) == (set > 0));
          CHECK(narrow.view()(y, x) == (set == all));
        }
    }
}

TEST_CASE("closing bridges gaps, opening cuts threads") {
  mask_image gap =
      mask_from({"...........", "...........", "...##.##...", "...##.##...", "...........", "..........."});
  close(gap, 1);
  CHECK(text_of(gap)[2] == "...#####...");
  CHECK(text_of(gap)[1] == "...........");
  mask_image thread = mask_from({".###....", ".######.", ".###....", "........"});
  open(thread, 1);
  CHECK(text_of(thread) == std::vector<std::string>{".###....", ".###....", ".###....", "........"});
}

TEST_CASE("small objects go, small enclosed holes fill, bays at the border stay") {
  mask_image mask = mask_from({"#....#..", ".#...#..", "......##", "#####...", "#.#.#...", "#####..#"});
  drop_small_objects(mask, 3);
  CHECK(text_of(mask) ==
        std::vector<std::string>{".....#..", ".....#..", "......##", "#####...", "#.#.#...", "#####..."});
  fill_small_holes(mask, 2);
  CHECK(text_of(mask)[4] == "#####...");
  CHECK(text_of(mask)[0] == ".....#..");
}

TEST_CASE("an area table gives the exact area of rectangles that cut pixels") {
  const mask_image mask = noise(6, 9);
  const area_table table(mask.view());
  std::mt19937 random(2);
  std::uniform_real_distribution<double> place(-2, 11);
  for (int i = 0; i < 300; ++i) {
    double left = place(random), right = place(random), top = place(random), bottom = place(random);
    if (left > right) std::swap(left, right);
    if (top > bottom) std::swap(top, bottom);
    double want = 0;
    for (std::int64_t y = 0; y < 6; ++y)
      for (std::int64_t x = 0; x < 9; ++x) {
        const auto shared = [](double low, double high, std::int64_t at) {
          return std::max(0.0, std::min(high, static_cast<double>(at + 1)) - std::max(low, static_cast<double>(at)));
        };
        want += mask.view()(y, x) * shared(left, right, x) * shared(top, bottom, y);
      }
    CHECK(std::abs(table.area(left, top, right, bottom) - want) <= 1e-12);
  }
}
