#include <milkit/slide/tile_source.hpp>

#include <doctest/doctest.h>

#include <milkit/milkit.hpp>

#include <support/gradient_check.hpp>
#include <support/paths.hpp>
#include <support/tiff_pyramid.hpp>

using namespace milkit;

namespace {

using network = models::bag_classifier<
    nn::sequential<nn::conv2d<3, 4, 5>, nn::relu, nn::max_pool2d, nn::flatten, nn::linear<4 * 14 * 14, 16>, nn::relu>,
    pooling::gated_attention<16, 8>, nn::linear<16, 2>>;

}  // namespace

TEST_CASE("tiles of a slide are the instances of a bag, as a plain read gives them") {
  const slide::whole_slide one(test::source_dir() / "examples" / "data" / "CMU-1-Small-Region.svs");
  const auto grid = slide::make_tiles(one, slide::find_tissue(one), {.resolution = slide::mpp{2}, .tile_size = 32});
  const slide::tile_source source(one, grid);
  static_assert(instance_source<decltype(source), cpu>);
  const auto count = static_cast<std::int64_t>(grid.tiles.size());
  REQUIRE(count > 100);
  CHECK(source.shape() == shape<4>{count, 3, 32, 32});

  tensor<float, 4> in_memory(source.shape());
  for (std::int64_t i = 0; i < count; ++i) {
    const rgb_image pixels = one.read_region(grid.tiles[static_cast<std::size_t>(i)].area, {32, 32});
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t y = 0; y < 32; ++y)
        for (std::int64_t x = 0; x < 32; ++x)
          in_memory.view()(i, c, y, x) = static_cast<float>(milkit::pixel(pixels, y, x)[c]) / 255.0f;
  }
  cpu backend{.threads = 2};
  {
    const auto scope = backend.workspace.scope();
    CHECK(test::same_bits(source.read(backend, {7, 30}), std::as_const(in_memory).view().rows(7, 30)));
  }

  // A network says of the slide what it says of the tiles in memory, and trains on it.
  network net;
  net.embedding.chunk_rows = 25;
  const auto weights = initial_parameters<float>(net, {.seed = 1});
  const auto seen = models::predict(backend, net, weights, bag_batch(source));
  const auto want = models::predict(backend, net, weights, bags_of(in_memory.view()));
  CHECK(test::same_bits(seen.logits, want.logits));
  CHECK(test::same_bits(seen.attention, want.attention));
  CHECK(seen.attention.shape() == shape<2>{count, 1});

  const std::int64_t label = 1;
  auto gradient = weights.zeros(), of_memory = weights.zeros();
  net.embedding.saved_bytes = 1 << 20;  // most chunks are read again
  net.train_bags(backend, weights.flat(), bag_batch(source), vector_view<const std::int64_t>(&label, {1}),
                 loss::cross_entropy{}, 1.0, gradient.flat(), {.training = true});
  net.train_bags(backend, weights.flat(), bags_of(in_memory.view()), vector_view<const std::int64_t>(&label, {1}),
                 loss::cross_entropy{}, 1.0, of_memory.flat(), {.training = true});
  CHECK(test::same_bits(gradient.flat(), of_memory.flat()));
  CHECK(backend.workspace.bytes_in_use() == 0);
}

TEST_CASE("a tile that cannot be read is an io_error of the slide, and the backend works on") {
  const test::temporary_directory folder;
  test::write_tiff_pyramid(folder.path() / "bad.tiff", {test::picture(256, 256, 3, 77)});
  test::damage_tile(folder.path() / "bad.tiff", 0, 5);
  const slide::whole_slide one(folder.path() / "bad.tiff");
  auto grid = slide::make_tiles(one, {.resolution = slide::native{}, .tile_size = 32});
  const network net;
  const auto weights = initial_parameters<float>(net, {.seed = 1});
  cpu backend{.threads = 2};
  CHECK_THROWS_WITH_AS(models::predict(backend, net, weights, bag_batch(slide::tile_source(one, grid))),
                       doctest::Contains("bad.tiff: reading"), io_error);
  CHECK(backend.workspace.bytes_in_use() == 0);
  grid.tiles.resize(8);  // a row above the damage
  CHECK(models::predict(backend, net, weights, bag_batch(slide::tile_source(one, grid))).attention.rows() == 8);
  grid.tiles.clear();
  CHECK_THROWS_AS(models::predict(backend, net, weights, bag_batch(slide::tile_source(one, grid))), value_error);
}
