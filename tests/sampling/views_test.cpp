#include <milkit/core/image.hpp>
#include <milkit/sampling/counts.hpp>
#include <milkit/sampling/image_views.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/normals.hpp>

#include <doctest/doctest.h>

using namespace milkit;
using sampling::area;
using sampling::pixel_frame;
using sampling::place;

namespace {

area<pixel_frame> pair_of(const test::golden_case& golden, const char* name) {
  return {golden.option<std::int64_t>(name, 0), golden.option<std::int64_t>(name, 1)};
}

sampling::view_grid grid_of(const test::golden_case& golden) {
  sampling::view_grid grid;
  grid.image = pair_of(golden, "image_size");
  grid.tile = pair_of(golden, "tile_size");
  grid.subtile = pair_of(golden, "subtile_size");
  const auto cells = pair_of(golden, "view_size");
  grid.cells = {cells.rows, cells.columns};
  return grid;
}

std::vector<double> subtile_origins(const sampling::view_grid& grid) {
  std::vector<double> all;
  for (std::int64_t t = 0; t < grid.tiles().size(); ++t)
    for (std::int64_t c = 0; c < grid.cells.size(); ++c) {
      const auto origin = grid.subtile_origin(grid.tiles().at(t), grid.cells.at(c));
      all.push_back(static_cast<double>(origin.row));
      all.push_back(static_cast<double>(origin.column));
    }
  return all;
}

/// Pixels one by one, zeros outside.
template <class T>
std::vector<double> cut(const tensor<T, 3>& image, place<pixel_frame> origin, area<pixel_frame> extent) {
  std::vector<double> all;
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t y = origin.row; y < origin.row + extent.rows; ++y)
      for (std::int64_t x = origin.column; x < origin.column + extent.columns; ++x) {
        const bool inside = y >= 0 && x >= 0 && y < image.extent(1) && x < image.extent(2);
        all.push_back(inside ? static_cast<double>(image.data()[(c * image.extent(1) + y) * image.extent(2) + x]) : 0);
      }
  return all;
}

template <class T>
tensor<T, 4> views_of(const sampling::planar_image<T>& image, const sampling::view_grid& grid, area<pixel_frame> size,
                      int threads) {
  cpu backend{.threads = threads};
  const auto scope = backend.workspace.scope();
  return copied_to<host_space>(sampling::read_views(
      backend, image, grid.tiles().size(), [&](std::int64_t i) { return grid.tile_origin(grid.tiles().at(i)); },
      grid.tile, size));
}

}  // namespace

TEST_CASE("coordinates of tiles and sub-tiles agree with the golden tensors") {
  for (const char* name : {"divisible", "padded", "fractional", "small", "halves", "colon"}) {
    CAPTURE(name);
    const test::golden_case golden("zoom_in_coordinates_" + std::string(name));
    sampling::view_grid grid = grid_of(golden);
    CHECK(golden.equal("grid", std::vector<double>{static_cast<double>(grid.tiles().rows),
                                                   static_cast<double>(grid.tiles().columns)}));
    std::vector<double> origins;
    for (std::int64_t t = 0; t < grid.tiles().size(); ++t) {
      origins.push_back(static_cast<double>(grid.tile_origin(grid.tiles().at(t)).row));
      origins.push_back(static_cast<double>(grid.tile_origin(grid.tiles().at(t)).column));
    }
    CHECK(golden.equal("tile_origin", origins));
    CHECK(golden.equal("subtile_origin", subtile_origins(grid)));
    grid.official_step = golden.option<std::int64_t>("inverse_scale");
    CHECK(golden.equal("subtile_origin_legacy", subtile_origins(grid)));
  }
}

TEST_CASE_TEMPLATE("tiles, sub-tiles and stage views agree with the golden tensors", T, MILKIT_FLOATS) {
  const double bound = test::tolerance_of<T>(1e-10, 1e-5);
  {
    const test::golden_case golden("zoom_in_tiles");
    const auto pixels = golden.get<T, 3>("image");
    const area<pixel_frame> tile = pair_of(golden, "tile_size");
    const sampling::view_grid grid{{pixels.extent(1), pixels.extent(2)}, tile, {}, {}, {}};
    CHECK(golden.error("tiles", views_of<T>({pixels.view()}, grid, tile, 2)) <= bound);
  }
  {
    const test::golden_case golden("zoom_in_subtiles");
    const auto pixels = golden.get<T, 3>("image");
    const auto size = pair_of(golden, "subtile_size");
    const auto origins = golden.get<std::int64_t, 2>("origins");
    cpu backend{.threads = 2};
    const auto scope = backend.workspace.scope();
    const sampling::planar_image<T> image{pixels.view()};
    CHECK(golden.error("subtiles", sampling::read_views(
                                       backend, image, origins.rows(),
                                       [&](std::int64_t i) {
                                         return place<pixel_frame>{origins.view()(i, 0), origins.view()(i, 1)};
                                       },
                                       size, size)) <= bound);
  }
  for (const char* name : {"zoom_in_tile_views_integer", "zoom_in_tile_views_fractional"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto pixels = golden.get<T, 3>("image");
    const sampling::view_grid grid{{pixels.extent(1), pixels.extent(2)}, pair_of(golden, "tile_size"), {}, {}, {}};
    CHECK(golden.error("views", views_of<T>({pixels.view()}, grid, pair_of(golden, "view_size"), 2)) <= bound);
  }
}

TEST_CASE("images read: windows anywhere, numbers or bytes -> their pixels, zeros outside") {
  const auto numbers = test::normals<double>(shape<3>{3, 11, 7}, 1);
  rgb_image bytes({11, 7, 3});
  tensor<double, 3> planes({3, 11, 7});
  for (std::int64_t i = 0; i < bytes.size(); ++i) {
    bytes.data()[i] = static_cast<std::uint8_t>(37 * i % 256);
    planes.data()[i % 3 * 77 + i / 3] = bytes.data()[i] / 255.0;
  }
  const sampling::planar_image<double> image{numbers.view()};
  const sampling::rgb_source<double> picture{std::as_const(bytes).view()};
  for (const place<pixel_frame> origin :
       {place<pixel_frame>{0, 0}, {-3, -2}, {9, 5}, {-20, 0}, {0, 30}, {4, -9}, {12, 8}})
    for (const area<pixel_frame> size : {area<pixel_frame>{1, 1}, {5, 4}, {30, 31}}) {
      cpu backend{.threads = 1};
      tensor<double, 4> got({1, 3, size.rows, size.columns});
      image.read(backend, origin, size, got.view());
      CHECK(test::elements(got) == cut(numbers, origin, size));
      picture.read(backend, origin, size, got.view());
      CHECK(test::relative_error(got, cut(planes, origin, size)) <= 1e-15);
    }
}

TEST_CASE("views are means of the padded tile, and of bytes the same as of their numbers") {
  rgb_image bytes({23, 17, 3});
  tensor<double, 3> planes({3, 23, 17});
  for (std::int64_t i = 0; i < bytes.size(); ++i) {
    bytes.data()[i] = static_cast<std::uint8_t>(91 * i % 256);
    planes.data()[i % 3 * 23 * 17 + i / 3] = bytes.data()[i] / 255.0;
  }
  for (const auto filter : {sampling::view_filter::area_average, sampling::view_filter::bilinear})
    for (const area<pixel_frame> view : {area<pixel_frame>{5, 3}, {10, 9}, {20, 18}, {1, 1}}) {
      const place<pixel_frame> origin{13, 8};
      const area<pixel_frame> extent{20, 18};
      cpu backend;
      tensor<double, 4> a({1, 3, view.rows, view.columns}), b(a.shape());
      sampling::planar_image<double>{planes.view(), filter}.read(backend, origin, extent, a.view());
      sampling::rgb_source<double>{std::as_const(bytes).view(), filter}.read(backend, origin, extent, b.view());
      CHECK(test::relative_error(b, test::elements(a)) <= 1e-14);
    }
}

TEST_CASE("a geometry fits images of any size, and says what it cannot do") {
  sampling::view_geometry geometry;
  const auto colon = geometry.grid({500, 500});
  CHECK(colon.tiles() == area<sampling::tile_frame>{2, 2});
  CHECK(colon.tile_view == area<pixel_frame>{25, 25});
  CHECK(colon.cells == area<sampling::cell_frame>{50, 50});
  CHECK(geometry.grid({501, 250}).tiles() == area<sampling::tile_frame>{3, 1});
  CHECK(geometry.grid({3, 2}).tiles().size() == 1);
  geometry.tile = {};
  const auto whole = geometry.grid({301, 77});
  CHECK(whole.tiles().size() == 1);
  CHECK(whole.cells == area<sampling::cell_frame>{60, 15});
  CHECK(geometry.grid({1, 1}).cells.size() == 1);
  CHECK_THROWS_WITH_AS(geometry.grid({0, 5}),
                       "milkit::sampling::view_geometry: the image has 0 x 5 pixels, expected at least one",
                       value_error);
  geometry.cell_scale = 1.5;
  CHECK_THROWS_WITH_AS(geometry.grid({9, 9}),
                       "milkit::sampling::view_geometry: a scale is 1.5 x 1.5, expected more than 0 and at most 1",
                       value_error);
  geometry.subtile = {0, 3};
  CHECK_THROWS_WITH_AS(geometry.grid({9, 9}),
                       "milkit::sampling::view_geometry: a sub-tile has 0 x 3 pixels, expected at least one",
                       value_error);
}

TEST_CASE_TEMPLATE("the tile weights of the official code's inference agree with the golden tensor", T, MILKIT_FLOATS) {
  const test::golden_case golden("zoom_in_official_inference_weights");
  const auto attention = golden.get<T, 1>("attention");
  tensor<T, 1> weights(attention.shape());
  sampling::official_inference_weights(attention.view(), weights.view());
  CHECK(golden.error("weights", weights) <= test::tolerance_of<T>(1e-10, 1e-5));
  const tensor<T, 1> equal = [] {
    tensor<T, 1> four(shape<1>{4});
    std::fill_n(four.data(), 4, T(0.25));
    return four;
  }();
  tensor<T, 1> same(shape<1>{4});
  sampling::official_inference_weights(equal.view(), same.view());
  CHECK(test::elements(same) == std::vector<double>(4, 0.25));
}
