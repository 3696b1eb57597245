#include <milkit/milkit.hpp>

#include "encoded_slide_cases.hpp"

using namespace milkit;
using test::spotted_slide;

TEST_CASE("encoded_slide: reads and encodes N1 + K r12 + K r23 tiles, and says what features in memory say") {
  for (const int threads : {1, 2, 3}) {
    CAPTURE(threads);
    cpu backend{.threads = threads};
    test::check_lazy_equals_memory(backend);
  }
}

TEST_CASE("encode_tiles: each row is the encoder's of that very tile, in any batch") {
  const spotted_slide file;
  const slide::whole_slide slide(file.path);
  const auto tiles = file.cut(slide);
  const slide::tile_grid& grid = tiles.levels[2];
  const encoders::stain_descriptor encoder;
  cpu backend;
  const std::vector<std::int64_t> rows{479, 3, 3, 100, 0};
  tensor<float, 2> made({5, encoder.features()}), want({1, encoder.features()});
  for (const std::int64_t batch : {1, 2, 32}) {
    encoders::encode_tiles(backend, encoder, slide, grid, vector_view<const std::int64_t>(rows.data(), {5}),
                           made.view(), {.batch = batch});
    for (std::int64_t i = 0; i < 5; ++i) {
      const rgb_image pixels =
          slide.read_region(grid.tiles[static_cast<std::size_t>(rows[static_cast<std::size_t>(i)])].area, {32, 32});
      encoder.encode(backend, encoders::tiles_view(pixels.data(), {1, 32, 32, 3}), want.view());
      CHECK(test::elements(made.view().rows(i, 1)) == test::elements(want));
    }
  }
}

TEST_CASE("encode_pyramid: coordinates, parents and where they come from") {
  const spotted_slide file;
  const slide::whole_slide slide(file.path);
  const auto tiles = file.cut(slide);
  cpu backend;
  const encoders::stain_descriptor encoder;
  const auto made = encoders::encode_pyramid(backend, encoder, slide, tiles, {"5x", "10x", "20x"});
  REQUIRE(made.levels.size() == 3);
  CHECK(made.levels[0].parents.empty());
  for (std::size_t m = 0; m < 3; ++m) {
    const auto& level = made.levels[m];
    REQUIRE(level.features.extent(0) == static_cast<std::int64_t>(tiles.levels[m].tiles.size()));
    for (std::int64_t i = 0; i < level.features.extent(0); ++i) {
      const auto& area = tiles.levels[m].tiles[static_cast<std::size_t>(i)].area;
      CHECK(static_cast<double>(level.coordinates.view()(i, 0)) == area.origin.x);
      CHECK(static_cast<double>(level.coordinates.view()(i, 1)) == area.origin.y);
      if (m == 0) continue;
      const auto& parent =
          tiles.levels[m - 1].tiles[static_cast<std::size_t>(level.parents[static_cast<std::size_t>(i)])].area;
      CHECK(area.origin.x >= parent.origin.x);
      CHECK(area.right() <= parent.right());
      CHECK(area.origin.y >= parent.origin.y);
      CHECK(area.bottom() <= parent.bottom());
    }
  }
  CHECK(made.provenance == encoders::feature_provenance(encoder, 32, {"5x", "10x", "20x"}));
  CHECK(made.provenance.at("encoder") == "stain descriptor 1");
  CHECK(made.provenance.at("tile_size") == "32");
  CHECK(made.provenance.at("magnifications") == "5x 10x 20x");
  CHECK_THROWS_WITH_AS(encoders::encode_pyramid(backend, encoder, slide, tiles, {"5x"}),
                       doctest::Contains("names is 1, expected 3"), shape_error);
}

TEST_CASE(
    "encode_tiles: refuses rows that are no tiles, other embeddings, a batch of none, and slides that do not read") {
  const spotted_slide file;
  cpu backend;
  const encoders::stain_descriptor encoder;
  tensor<float, 2> made({1, encoder.features()}), narrow({1, 3});
  {
    const slide::whole_slide slide(file.path);
    const auto tiles = file.cut(slide);
    for (const std::int64_t wrong : {std::int64_t{-1}, std::int64_t{30}})
      CHECK_THROWS_WITH_AS(encoders::encode_tiles(backend, encoder, slide, tiles.levels[0],
                                                  vector_view<const std::int64_t>(&wrong, {1}), made.view()),
                           doctest::Contains("expected 0 to 29"), value_error);
    const std::int64_t row = 0;
    const vector_view<const std::int64_t> rows(&row, {1});
    CHECK_THROWS_WITH_AS(encoders::encode_tiles(backend, encoder, slide, tiles.levels[0], rows, narrow.view()),
                         doctest::Contains("[1, 3], expected [1, 45]"), shape_error);
    CHECK_THROWS_WITH_AS(
        encoders::encode_tiles(backend, encoder, slide, tiles.levels[0], rows, made.view(), {.batch = 0}),
        doctest::Contains("batch is 0"), value_error);
  }
  test::damage_tile(file.path, 0, 0);
  const slide::whole_slide slide(file.path);
  const auto tiles = file.cut(slide);
  tensor<float, 2> all({static_cast<std::int64_t>(tiles.levels[2].tiles.size()), encoder.features()});
  CHECK_THROWS_WITH_AS(encoders::encode_tiles(backend, encoder, slide, tiles.levels[2], {}, all.view()),
                       doctest::Contains("spots.tiff"), io_error);
}
