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

TEST_CASE("text that leaves the picture is cut off") {
  auto picture = blank_picture(3, 3);
  draw_text(picture, -2, -2, "Hello", {0, 0, 0}, 2);
  draw_text(picture, 50, 50, "Hello", {0, 0, 0});
  CHECK(text_width("") == 0);
  CHECK(text_width("ab", 2) == 22);
}
