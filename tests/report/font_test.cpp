#include <doctest/doctest.h>

#include <set>
#include <string>

#include <milkit/report/font.hpp>

using namespace milkit::report;

namespace {

std::string drawn(std::string_view text, std::int64_t scale = 1) {
  auto picture = blank_picture(text_height(scale) + 2 * scale, text_width(text, scale));
  draw_text(picture, 0, 0, text, {0, 0, 0}, scale);
  std::string rows;
  for (std::int64_t y = 0; y < picture.extent(0); y += scale) {
    for (std::int64_t x = 0; x < picture.extent(1); x += scale) rows += *milkit::pixel(picture, y, x) == 0 ? '#' : '.';
    rows += '\n';
  }
  return rows;
}

}  // namespace

TEST_CASE("letters look as designed, at any scale") {
  CHECK(drawn("Cl") ==
        ".###...##..\n#...#...#..\n#.......#..\n#.......#..\n#.......#..\n#...#...#..\n.###...###.\n...........\n......"
        ".....\n");
  CHECK(drawn("Cl", 3) == drawn("Cl"));
  CHECK(drawn("p") == ".....\n.....\n####.\n#...#\n#...#\n#...#\n####.\n#....\n#....\n");
}

TEST_CASE("all printable characters differ, and unknown ones are a box") {
  std::set<std::string> shapes;
  for (char c = 32; c < 127; ++c) shapes.insert(drawn(std::string(1, c)));
  CHECK(shapes.size() == 95);
  const std::string box = "#####\n#...#\n#...#\n#...#\n#...#\n#...#\n#####\n.....\n.....\n";
  CHECK(shapes.count(box) == 0);
  CHECK(drawn("\x07") == box);
  CHECK(drawn("\xC3") == box);
}

TEST_CASE("draw_text: beyond the picture -> cut off, the rest as in a larger picture") {
  const auto all = [](const milkit::rgb_image& picture) {
    return std::string(picture.data(), picture.data() + picture.size());
  };
  auto whole = blank_picture(60, 80);
  draw_text(whole, 20, 10, "Hello", {0, 0, 0}, 2);
  // A window of 12 x 30 pixels, laid over the text so that each of its borders cuts.
  for (const auto& [x, y] :
       {std::pair(25, 4), std::pair(25, 20), std::pair(5, 12), std::pair(70, 12), std::pair(30, 14)}) {
    auto window = blank_picture(12, 30);
    draw_text(window, 20 - x, 10 - y, "Hello", {0, 0, 0}, 2);
    bool same = true;
    int dark = 0;
    for (std::int64_t r = 0; r < 12; ++r)
      for (std::int64_t c = 0; c < 30; ++c) {
        const std::uint8_t want = c + x < 80 ? *milkit::pixel(whole, r + y, c + x) : 255;
        same = same && *milkit::pixel(window, r, c) == want;
        dark += want == 0;
      }
    CHECK(same);
    CHECK(dark > 0);
  }
  auto untouched = blank_picture(3, 3);
  draw_text(untouched, 50, 50, "Hello", {0, 0, 0});
  draw_text(untouched, -50, 0, "Hello", {0, 0, 0});
  CHECK(all(untouched) == all(blank_picture(3, 3)));
  CHECK(text_width("") == 0);
  CHECK(text_width("ab", 2) == 22);
}
