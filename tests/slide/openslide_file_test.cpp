#include <milkit/slide/openslide_file.hpp>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <milkit/slide/slide.hpp>

#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using namespace milkit::slide;
using milkit::test::data_file;

TEST_CASE("whole_slide: no slide -> io_error that names the file") {
  const milkit::test::temporary_directory folder;
  CHECK_THROWS_WITH_AS(whole_slide(folder.path() / "none.svs"), doctest::Contains("none.svs: there is no such file"),
                       milkit::io_error);
  std::ofstream(folder.path() / "text.svs") << "not a slide";
  CHECK_THROWS_WITH_AS(whole_slide(folder.path() / "text.svs"),
                       doctest::Contains("text.svs: OpenSlide knows no format"), milkit::io_error);
  CHECK_THROWS_AS(whole_slide(folder.path()), milkit::io_error);
}

TEST_CASE("a slide that does not open or does not read says what OpenSlide says") {
  CHECK_THROWS_WITH_AS(
      whole_slide(data_file("slides/unopenable.tiff")),
      doctest::Contains("unopenable.tiff: opening failed, OpenSlide says: Unsupported TIFF compression"),
      milkit::io_error);
  const whole_slide slide(data_file("slides/unreadable.svs"));
  for (int again = 0; again < 2; ++again)
    CHECK_THROWS_WITH_AS(slide.read_region(slide.area(), {16, 16}),
                         doctest::Contains("unreadable.svs: reading 16 x 16"), milkit::io_error);
  CHECK(slide.resolution().pixel.x == 0.499);
}

TEST_CASE("one bad tile fails alone: the same file goes on reading, in all threads") {
  const milkit::test::temporary_directory folder;
  milkit::test::write_tiff_pyramid(folder.path() / "bad.tiff", {milkit::test::picture(256, 256, 3, 77)});
  milkit::test::damage_tile(folder.path() / "bad.tiff", 0, 5);  // the tile at (64, 64)
  const whole_slide slide(folder.path() / "bad.tiff");
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 64; ++i) {
        const level0_point at(64 * (i % 4), 64 * (i / 4 % 4));
        bool failed = false;
        try {
          const auto got = slide.read_region(at, native{}, {64, 64});
          if (got.data()[0] != 77 || got.data()[got.size() - 1] != 77) ++wrong;
        } catch (const milkit::io_error&) {
          failed = true;
        }
        if (failed != (i % 16 == 5)) ++wrong;
      }
    });
  threads.clear();
  CHECK(wrong == 0);
}
