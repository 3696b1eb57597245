// Tiles through milkit::slide::read_tiles beside the same tiles by plain openslide_read_region, in turns within one
// run. cold: every pass opens the slide anew, so its tiles are decoded; warm: they come from OpenSlide's own cache.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>
#include <openslide.h>

#include <milkit/slide/tile_reader.hpp>

namespace {

using namespace milkit::slide;

constexpr std::int64_t side = 256;

std::filesystem::path slide_path() {
  const char* folder = std::getenv("MILKIT_DATA_DIR");
  return std::filesystem::path(folder ? folder : "../shared/data") / "slides/CMU-1-Small-Region.svs";
}

struct raw_slide {
  std::unique_ptr<openslide_t, decltype(&openslide_close)> handle{openslide_open(slide_path().c_str()),
                                                                  openslide_close};
};

struct cost {
  double seconds = 0, cpu_seconds = 0;  // of the clock; of all threads of the process together
};

cost cost_of(auto&& work) {
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu_start = std::clock();
  work();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
          static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC};
}

cost read_raw(const raw_slide& slide, const tile_grid& grid, int threads) {
  return cost_of([&] {
    std::atomic<std::size_t> next = 0;
    std::vector<std::jthread> workers;
    for (int t = 0; t < threads; ++t)
      workers.emplace_back([&] {
        std::vector<std::uint32_t> argb(side * side);
        for (std::size_t i = next++; i < grid.tiles.size(); i = next++) {
          const level0_point at = grid.tiles[i].area.origin;
          openslide_read_region(slide.handle.get(), argb.data(), static_cast<std::int64_t>(at.x),
                                static_cast<std::int64_t>(at.y), 0, side, side);
          benchmark::DoNotOptimize(argb.data());
        }
      });
  });
}

cost read_ours(const whole_slide& slide, const tile_grid& grid, int threads) {
  return cost_of([&] {
    read_tiles(slide, grid, [](const read_tile& got) { benchmark::DoNotOptimize(got.pixels.data()); },
               {.threads = threads});
  });
}

/// Whether every tile of the reader has the colours that OpenSlide gives, worked out here pixel by pixel.
bool same_pixels(const raw_slide& raw, const whole_slide& slide, const tile_grid& grid) {
  bool same = true;
  std::vector<std::uint32_t> argb(side * side);
  const read_report report = read_tiles(slide, grid, [&](const read_tile& got) {
    const level0_point at = got.where->area.origin;
    openslide_read_region(raw.handle.get(), argb.data(), static_cast<std::int64_t>(at.x),
                          static_cast<std::int64_t>(at.y), 0, side, side);
    for (std::size_t i = 0; i < argb.size(); ++i)
      for (std::size_t c = 0; c < 3; ++c)
        same = same && got.pixels.data()[3 * i + c] == ((argb[i] >> (16 - 8 * c)) & 255u) + 255u - (argb[i] >> 24);
  });
  return same && report.failed == 0;
}

double median(const std::vector<cost>& costs, double cost::*which) {
  std::vector<double> values;
  for (const cost& one : costs) values.push_back(one.*which);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void tiles(benchmark::State& state, bool cold) {
  if (!std::filesystem::exists(slide_path()))
    return state.SkipWithError("set MILKIT_DATA_DIR to the folder of slides/");
  const int threads = static_cast<int>(state.range(0));
  auto ours = std::make_unique<whole_slide>(slide_path());
  auto raw = std::make_unique<raw_slide>();
  const tile_grid grid = make_tiles(*ours, {.resolution = native{}, .tile_size = side});
  if (!same_pixels(*raw, *ours, grid)) return state.SkipWithError("the pixels differ from OpenSlide's");
  std::vector<cost> raw_costs, our_costs;
  for (auto _ : state) {
    if (cold) ours = std::make_unique<whole_slide>(slide_path()), raw = std::make_unique<raw_slide>();
    // In turns, and the one that goes first changes, so that what the machine does meets both alike.
    if (raw_costs.size() % 2) raw_costs.push_back(read_raw(*raw, grid, threads));
    our_costs.push_back(read_ours(*ours, grid, threads));
    if (raw_costs.size() < our_costs.size()) raw_costs.push_back(read_raw(*raw, grid, threads));
    state.SetIterationTime(our_costs.back().seconds);
  }
  const auto count = static_cast<double>(grid.tiles.size());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(count) * side * side * 3);
  state.counters["tiles/s"] = count / median(our_costs, &cost::seconds);
  state.counters["raw tiles/s"] = count / median(raw_costs, &cost::seconds);
  state.counters["of raw"] = median(raw_costs, &cost::seconds) / median(our_costs, &cost::seconds);
  // The same in processor time, which other programs on the machine disturb less.
  state.counters["of raw, cpu"] = median(raw_costs, &cost::cpu_seconds) / median(our_costs, &cost::cpu_seconds);
}

BENCHMARK_CAPTURE(tiles, cold, true)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(tiles, warm, false)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
