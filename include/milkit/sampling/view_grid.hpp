#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <milkit/core/error.hpp>

/// Coordinates of attention sampling (docs/papers/zoom_in.md 2.1). An image is cut into tiles, a tile is looked at as
/// cells of its low-resolution view, and a sub-tile is the full-resolution window around a cell. Pairs are (row,
/// column).
namespace milkit::sampling {

/// The frames that a place can be given in.
struct pixel_frame;  ///< of the full-resolution image, from its top left corner
struct tile_frame;   ///< of the grid of tiles
struct cell_frame;   ///< of one tile's view

/// A place in one frame; frames do not mix.
template <class Frame>
struct place {
  std::int64_t row = 0, column = 0;
  friend bool operator==(const place&, const place&) = default;
};
/// Rows and columns in one frame.
template <class Frame>
struct area {
  std::int64_t rows = 0, columns = 0;

  std::int64_t size() const { return rows * columns; }
  /// The i-th place, row by row, and back.
  place<Frame> at(std::int64_t i) const { return {i / columns, i % columns}; }
  std::int64_t index(place<Frame> p) const { return p.row * columns + p.column; }
  friend bool operator==(const area&, const area&) = default;
};

/// The scale of a view along rows and columns: pixels of the view a pixel of the image.
struct view_scale {
  double rows, columns;
  constexpr view_scale(double both)
      : rows(both), columns(both) {}  // NOLINT(google-explicit-constructor): 0.1 is a scale
  constexpr view_scale(double of_rows, double of_columns) : rows(of_rows), columns(of_columns) {}
};

/// Tiles, cells and sub-tiles of one image. Tiles begin at (0, 0) and have no gaps; those at the border go beyond the image, where
/// all pixels are zeros. The sub-tile of cell r of u in a tile of h pixels begins at row floor((r + 1/2) h / u - subtile / 2 + 1/2)
/// of the tile, so that its centre is the cell's (halves go up); `official_step` > 0 is the official code's rule, r
/// official_step - floor(subtile / 2). Sub-tiles read the image beyond their tile.
struct view_grid {
  area<pixel_frame> image, tile, subtile;
  area<pixel_frame> tile_view;  ///< pixels of a tile's view at the first scale
  area<cell_frame> cells;       ///< pixels of a tile's view at the second scale
  std::int64_t official_step = 0;

  area<tile_frame> tiles() const {
    return {(image.rows + tile.rows - 1) / tile.rows, (image.columns + tile.columns - 1) / tile.columns};
  }
  place<pixel_frame> tile_origin(place<tile_frame> t) const { return {t.row * tile.rows, t.column * tile.columns}; }
  place<pixel_frame> subtile_origin(place<tile_frame> t, place<cell_frame> c) const {
    const auto origin = tile_origin(t);
    return {origin.row + offset(c.row, tile.rows, cells.rows, subtile.rows),
            origin.column + offset(c.column, tile.columns, cells.columns, subtile.columns)};
  }

 private:
  std::int64_t offset(std::int64_t r, std::int64_t size, std::int64_t count, std::int64_t window) const {
    if (official_step > 0) return r * official_step - window / 2;
    const std::int64_t above = (2 * r + 1) * size + (1 - window) * count,
                       below = 2 * count;  // in units of 1 / (2 count)
    return above >= 0 ? above / below : -((-above + below - 1) / below);
  }
};

/// How images are looked at, whatever their size (docs/papers/zoom_in.md 1, 4: the colon setting).
struct view_geometry {
  area<pixel_frame> tile = {250, 250};  ///< without pixels: the whole image is one tile
  view_scale tile_scale = 0.1;          ///< s1
  view_scale cell_scale = 0.2;          ///< s2
  area<pixel_frame> subtile = {27, 27};
  std::int64_t official_step = 0;

  /// Views have round(size scale) pixels, and at least one. Errors: value_error.
  view_grid grid(area<pixel_frame> image) const {
    constexpr auto op = "milkit::sampling::view_geometry";
    expect_value(image.rows > 0 && image.columns > 0, op, "the image has ", image.rows, " x ", image.columns,
                 " pixels, expected at least one");
    expect_value(tile.rows >= 0 && tile.columns >= 0 && (tile.rows == 0) == (tile.columns == 0), op, "a tile has ",
                 tile.rows, " x ", tile.columns, " pixels, expected at least one, or none for the whole image");
    expect_value(subtile.rows > 0 && subtile.columns > 0, op, "a sub-tile has ", subtile.rows, " x ", subtile.columns,
                 " pixels, expected at least one");
    const auto own = tile.rows == 0 ? image : tile;
    const auto view = [&](view_scale scale) {
      expect_value(scale.rows > 0 && scale.rows <= 1 && scale.columns > 0 && scale.columns <= 1, op, "a scale is ",
                   scale.rows, " x ", scale.columns, ", expected more than 0 and at most 1");
      const auto of = [](std::int64_t size, double by) {
        return (std::max)(static_cast<std::int64_t>(std::lround(static_cast<double>(size) * by)), std::int64_t{1});
      };
      return area<pixel_frame>{of(own.rows, scale.rows), of(own.columns, scale.columns)};
    };
    const auto first = view(tile_scale), second = view(cell_scale);
    return {image, own, subtile, first, {second.rows, second.columns}, official_step};
  }
};

}  // namespace milkit::sampling
