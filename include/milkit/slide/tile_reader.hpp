#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <milkit/slide/slide.hpp>
#include <milkit/slide/tiling.hpp>

namespace milkit::slide {

struct tile_reader_options {
  int threads = 2;
  int in_flight = 0;     ///< tiles read or being read but not yet handled; 0: four a thread. Bounds the memory
  bool in_order = true;  ///< hand tiles over in the order of the grid; otherwise as they come
};

/// One tile as the callback gets it. `pixels` is the reader's memory and holds this tile until the callback returns.
struct read_tile {
  std::int64_t index = 0;  ///< in `tile_grid::tiles`
  const tile* where = nullptr;
  const_rgb_view pixels;  ///< `[tile_size, tile_size, 3]`; white where the tile could not be read
  std::string error;      ///< why it could not be read; empty where it could

  bool ok() const { return error.empty(); }
};

struct read_report {
  std::int64_t read = 0, failed = 0;  ///< tiles handed over
  std::string first_error;            ///< of the failed tile with the lowest index
  double seconds = 0;                 ///< of the whole run
  double reading_seconds = 0;         ///< spent in reading and decoding, summed over the threads
  bool stopped = false;               ///< the callback asked for it
};

namespace detail {

/// The reader's state: a fixed set of slots that go from free to being read to ready, and back.
class tile_pipeline {
 public:
  tile_pipeline(const whole_slide& slide, const tile_grid& grid, const tile_reader_options& options)
      : slide_(slide), grid_(grid), in_order_(options.in_order) {
    const auto count = static_cast<std::int64_t>(grid.tiles.size());
    const std::int64_t wanted = options.in_flight > 0 ? options.in_flight : std::int64_t{4} * options.threads;
    slots_.resize(static_cast<std::size_t>((std::min)(wanted, count)));
    for (slot& one : slots_) {
      one.pixels = rgb_image(shape{grid.tile_size, grid.tile_size, std::int64_t{3}});
      free_.push_back(&one);
    }
    ready_.reserve(slots_.size());
    for (int i = 0; i < (std::min)(static_cast<std::int64_t>(options.threads), count); ++i)
      workers_.emplace_back([this](std::stop_token stop) { work(stop); });
  }

  template <class Callback>
  void deliver(Callback&& callback, read_report& report) {
    const auto count = static_cast<std::int64_t>(grid_.tiles.size());
    std::int64_t first_failed = count;
    for (std::int64_t turn = 0; turn < count && !report.stopped; ++turn) {
      slot* one = take(turn);
      read_tile result{one->index, &grid_.tiles[static_cast<std::size_t>(one->index)], one->pixels.view(),
                       std::move(one->error)};
      ++(result.ok() ? report.read : report.failed);
      if (!result.ok() && result.index < first_failed) first_failed = result.index, report.first_error = result.error;
      if constexpr (std::is_same_v<std::invoke_result_t<Callback&, const read_tile&>, bool>)
        report.stopped = !callback(result);
      else callback(result);
      give_back(one);
    }
    for (std::jthread& worker : workers_) worker.request_stop();
    workers_.clear();
    report.reading_seconds = reading_seconds_;
  }

 private:
  struct slot {
    std::int64_t index = 0;
    rgb_image pixels;
    std::string error;
  };

  void work(std::stop_token stop) {
    region_buffer buffer;
    double seconds = 0;
    std::unique_lock lock(mutex_);
    while (true) {
      const auto count = static_cast<std::int64_t>(grid_.tiles.size());
      freed_.wait(lock, stop, [&] { return !free_.empty() || next_ == count || broken_; });
      if (stop.stop_requested() || next_ == count || broken_) break;
      // The slot comes first and then the tile, so the lowest tile not handed over is always being read: no deadlock.
      slot* one = free_.back();
      free_.pop_back();
      one->index = next_++;
      lock.unlock();
      const auto start = std::chrono::steady_clock::now();
      std::exception_ptr broken;
      try {
        read(*one, buffer);
      } catch (...) {
        broken = std::current_exception();
      }
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      lock.lock();
      if (broken && !broken_) broken_ = broken;
      ready_.push_back(one);
      became_ready_.notify_one();
    }
    reading_seconds_ += seconds;
  }

  void read(slot& one, region_buffer& buffer) {
    one.error.clear();
    try {
      slide_.read_region(grid_.tiles[static_cast<std::size_t>(one.index)].area, one.pixels.view(), buffer);
    } catch (const io_error& error) {
      one.error = error.what();
      std::fill_n(one.pixels.data(), one.pixels.size(), std::uint8_t{255});
    }
  }

  slot* take(std::int64_t turn) {
    std::unique_lock lock(mutex_);
    auto found = ready_.end();
    became_ready_.wait(lock, [&] {
      found = in_order_ ? std::find_if(ready_.begin(), ready_.end(), [&](const slot* s) { return s->index == turn; })
                        : ready_.begin();
      return found != ready_.end() || broken_;
    });
    if (broken_) std::rethrow_exception(broken_);
    slot* one = *found;
    ready_.erase(found);
    return one;
  }

  void give_back(slot* one) {
    {
      const std::lock_guard lock(mutex_);
      free_.push_back(one);
    }
    freed_.notify_one();
  }

  const whole_slide& slide_;
  const tile_grid& grid_;
  bool in_order_;
  std::vector<slot> slots_;
  std::mutex mutex_;
  std::condition_variable_any freed_;
  std::condition_variable became_ready_;
  std::vector<slot*> free_, ready_;
  std::int64_t next_ = 0;
  double reading_seconds_ = 0;
  std::exception_ptr broken_;
  std::vector<std::jthread> workers_;  // last, so that they end before what they use
};

}  // namespace detail

/// Reads every tile of `grid` on `threads` threads over the one `slide`, and calls `callback(const read_tile&)` for
/// each in this thread, while the others read on. The callback may return false to stop.
///
/// A tile that cannot be read arrives with its `error`, and the run goes on. Any other exception of a thread, and one
/// of the callback, ends the run and arrives here as it was thrown, after at most one more tile a thread. Memory:
/// `in_flight` tiles and one read buffer a thread, reused from tile to tile. An empty grid calls nothing.
template <class Callback>
read_report read_tiles(const whole_slide& slide, const tile_grid& grid, Callback&& callback,
                       const tile_reader_options& options = {}) {
  expect_value(options.threads >= 1, "milkit::slide::read_tiles", "threads is ", options.threads,
               ", expected 1 or more");
  expect_value(options.in_flight >= 0, "milkit::slide::read_tiles", "in_flight is ", options.in_flight,
               ", expected 0 or more");
  const auto start = std::chrono::steady_clock::now();
  read_report report;
  if (!grid.tiles.empty()) detail::tile_pipeline(slide, grid, options).deliver(callback, report);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace milkit::slide
