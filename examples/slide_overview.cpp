// What is in a slide: levels, resolution and where it comes from, tissue, tiles; a picture, a table of the tiles, a
// page.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <milkit/data/csv.hpp>
#include <milkit/data/png.hpp>
#include <milkit/report/html.hpp>
#include <milkit/report/overlay.hpp>
#include <milkit/slide/find_slides.hpp>
#include <milkit/slide/tile_reader.hpp>

#include "support/text.hpp"

namespace {

using namespace milkit::slide;
using example::text;
namespace fs = std::filesystem;

struct settings {
  std::vector<std::string> places;
  fs::path out = "out/slide_overview";
  double mpp = 0.5, magnification = 0, slide_mpp = 0, min_tissue = 0.1;
  std::int64_t tile = 256, overlap = 0;
  int threads = 2;
  bool native = false, check = false;

  grid_options grid() const {
    grid_options options{.tile_size = tile, .overlap = overlap, .min_tissue = min_tissue};
    if (native) options.resolution = milkit::slide::native{};
    else if (magnification > 0) options.resolution = milkit::slide::magnification{magnification};
    else options.resolution = milkit::slide::mpp{mpp};
    return options;
  }
};

std::string resolution_text(const whole_slide& slide) {
  if (!slide.known_resolution()) return "unknown";
  const resolution& known = slide.resolution();
  return text("%.4g", known.pixel.x) + " x " + text("%.4g", known.pixel.y) + " microns a pixel (" +
         std::string(name_of(known.source)) + ")";
}

void write_tiles(const fs::path& path, const tile_grid& grid) {
  milkit::data::csv_writer csv(path, {"x", "y", "width", "height", "column", "row", "tissue"});
  for (const tile& one : grid.tiles)
    csv.row(one.area.origin.x, one.area.origin.y, one.area.size.width, one.area.size.height, one.column, one.row,
            one.tissue);
  csv.commit();
}

milkit::rgb_image draw(const whole_slide& slide, const tissue_mask& tissue, const tile_grid& grid) {
  const milkit::rgb_image thumbnail = slide.thumbnail(1024);
  const double x_scale = static_cast<double>(thumbnail.extent(1)) / slide.size().width;
  const double y_scale = static_cast<double>(thumbnail.extent(0)) / slide.size().height;
  std::vector<milkit::report::pixel_rectangle> tiles;
  for (const tile& one : grid.tiles) {
    const auto left = std::lround(one.area.origin.x * x_scale), top = std::lround(one.area.origin.y * y_scale);
    tiles.push_back(
        {left, top, std::lround(one.area.right() * x_scale) - left, std::lround(one.area.bottom() * y_scale) - top});
  }
  return milkit::report::draw_overlay(thumbnail, tissue.mask(), tiles);
}

void overview(const fs::path& path, const fs::path& folder, const settings& set) {
  open_options options;
  if (set.slide_mpp > 0) options.given_mpp = mpp{set.slide_mpp};
  const whole_slide slide(path, options);
  std::printf("%s\n", path.c_str());
  std::vector<std::vector<std::string>> levels;
  for (const level& one : slide.levels()) {
    levels.push_back({std::to_string(levels.size()),
                      std::to_string(one.size.width) + " x " + std::to_string(one.size.height),
                      text("%.6g", one.factor.value)});
    std::printf("  level %s: %s pixels, downsample %s\n", levels.back()[0].c_str(), levels.back()[1].c_str(),
                levels.back()[2].c_str());
  }
  std::printf("  resolution: %s\n", resolution_text(slide).c_str());
  if (!slide.resolution_note().empty()) std::printf("  note: %s\n", slide.resolution_note().c_str());

  const tissue_mask tissue = find_tissue(slide);
  const tile_grid grid = make_tiles(slide, tissue, set.grid());
  const std::string share = text("%.1f %%", 100 * tissue.share()), count = std::to_string(grid.tiles.size());
  std::printf("  tissue: %s\n  tiles: %s of %lld x %lld, each %g x %g level-0 pixels\n", share.c_str(), count.c_str(),
              static_cast<long long>(grid.columns), static_cast<long long>(grid.rows),
              static_cast<double>(grid.tile_size) * grid.scale.x, static_cast<double>(grid.tile_size) * grid.scale.y);
  if (set.check) {
    const read_report read = read_tiles(slide, grid, [](const read_tile&) {}, {.threads = set.threads});
    std::printf("  read: %lld tiles, %lld failed, %.0f tiles/s\n", static_cast<long long>(read.read),
                static_cast<long long>(read.failed), static_cast<double>(read.read + read.failed) / read.seconds);
    if (read.failed > 0) throw milkit::io_error(read.first_error);
  }

  fs::create_directories(folder);
  write_tiles(folder / "tiles.csv", grid);
  const milkit::rgb_image picture = draw(slide, tissue, grid);
  milkit::data::write_png(folder / "overview.png", picture.view());
  milkit::report::html_page page(path.filename().string(), "Resolution: " + resolution_text(slide));
  page.key_figures({{"tissue", share, "saturation above " + text("%.3f", tissue.threshold())},
                    {"tiles", count, text("%.0f pixels a side", static_cast<double>(grid.tile_size))},
                    {"level-0 pixels a pixel", text("%.4g", grid.scale.x), "of a tile"}})
      .picture(picture.view(), "Outline of the tissue and the tiles with enough of it")
      .section("Levels")
      .table({"level", "pixels", "downsample"}, levels)
      .write(folder / "report.html");
  std::printf("  wrote: %s\n", (folder / "report.html").c_str());
}

}  // namespace

int main(int argc, char** argv) {
  settings set;
  CLI::App app(
      "What is in a slide: levels, resolution, tissue and tiles. Writes tiles.csv, overview.png and report.html.");
  app.option_defaults()->always_capture_default();
  const auto positive = CLI::Validator(
      [](const std::string& value) {
        return std::strtod(value.c_str(), nullptr) > 0 ? "" : value + " is not more than 0";
      },
      "", "positive");
  app.add_option("slides", set.places, "Slides, or folders that hold slides")->required()->default_str("");
  const auto at_mpp = app.add_option("--mpp", set.mpp, "Microns a pixel of the tiles")->check(positive);
  const auto at_power =
      app.add_option("--magnification", set.magnification, "Instead of --mpp: 20 is 0.5 microns a pixel");
  const auto at_level0 = app.add_flag("--native", set.native, "Instead of --mpp: the pixels of level 0 as they are");
  at_power->default_str("")->check(positive)->excludes(at_mpp)->excludes(at_level0);
  at_level0->excludes(at_mpp);
  app.add_option("--slide-mpp", set.slide_mpp, "Microns a level-0 pixel, in place of what slides say")
      ->default_str("")
      ->check(positive);
  app.add_option("--tile", set.tile, "Pixels a side of a tile")->check(CLI::Range(1, 65536));
  app.add_option("--overlap", set.overlap, "Pixels that neighbouring tiles share")->check(CLI::NonNegativeNumber);
  app.add_option("--min-tissue", set.min_tissue, "Least share of tissue of a tile")->check(CLI::Range(0.0, 1.0));
  app.add_option("--out", set.out, "Folder to write to; one folder a slide in it where there are several");
  app.add_flag("--check", set.check, "Read every tile, and report those that cannot be read");
  app.add_option("--threads", set.threads, "Threads of --check")->check(CLI::Range(1, 1024));
  try {
    app.parse(argc, argv);
    if (set.overlap >= set.tile) throw CLI::ValidationError("--overlap", "must be less than --tile");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  std::size_t done = 0, failed = 0;
  const auto report = [&](const std::string& what) {
    std::fflush(stdout);
    std::fprintf(stderr, "slide_overview: %s\n", what.c_str());
    ++failed;
  };
  const auto attempt = [&](auto&& work) {
    try {
      work();
    } catch (const resolution_error& error) {
      report(milkit::message(error.what(), " (here: --slide-mpp, or --native to take its pixels as they are)"));
    } catch (const std::exception& error) {
      report(error.what());
    }
  };
  std::vector<fs::path> slides;
  for (const std::string& place : set.places)
    attempt([&] {
      for (fs::path& path : find_slides(place, [&](const std::string& what) { report(what); }))
        slides.push_back(std::move(path));
    });
  std::error_code unreadable;
  const bool alone = set.places.size() == 1 && !fs::is_directory(set.places.front(), unreadable);
  std::set<fs::path> folders;
  for (const fs::path& path : slides)
    attempt([&] {
      fs::path folder = alone ? set.out : set.out / path.filename();
      while (!folders.insert(folder).second) folder += "_";
      overview(path, folder, set);
      ++done;
    });
  if (!alone) std::printf("%zu slides done, %zu failed\n", done, failed);
  if (!alone && failed > 0) std::fprintf(stderr, "slide_overview: %zu failed, named above\n", failed);
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "slide_overview: what it says cannot be written: is the disk full?\n");
    return 1;
  }
  return failed == 0 ? 0 : 1;
}
