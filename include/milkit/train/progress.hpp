#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iostream>
#include <ostream>
#include <span>
#include <string>
#include <utility>

#if defined(_WIN32)
#include <io.h>

#include <chrono>
#else
#include <unistd.h>
#include <ctime>
#endif

#include <milkit/core/error.hpp>
#include <milkit/train/history.hpp>

namespace milkit::train {

/// Seconds of a clock that never goes back.
inline double steady_seconds() {
#if defined(_WIN32)
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
#else  // <chrono> alone costs half a second to parse
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
#endif
}

/// The default says nothing: a library is silent unless it is asked. `progress_to_stderr()` is what a program wants.
struct progress_options {
  std::ostream* out = nullptr;                       ///< null: silent
  bool terminal = false;                             ///< a bar that is redrawn in place, or plain lines
  double seconds_between = 0;                        ///< least time between two writes; 0: 0.1 for a bar, 10 for lines
  std::int64_t already_done = 0;                     ///< steps done before a resume: they do not enter the ETA
  std::function<double()> seconds = steady_seconds;  ///< the clock
};

/// Progress on stderr: a bar where stderr is a terminal, plain lines elsewhere.
inline progress_options progress_to_stderr() {
  progress_options options;
  options.out = &std::cerr;
#if defined(_WIN32)
  options.terminal = _isatty(2) != 0;
#else
  options.terminal = isatty(2) != 0;
#endif
  return options;
}

/// 0:42, 12:05 or 3:07:09.
inline std::string duration_text(double seconds) {
  if (!(seconds >= 0 && seconds < 3.6e8)) return "?";
  const auto whole = static_cast<long long>(std::llround(seconds));
  char text[32];
  if (whole < 3600) std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  else std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

/// How far a long loop is, how long it will take, and its current figures:
///
///     fold 3 [############------------]  50 %  6/12  ETA 0:42  loss 0.4312  auc 0.912
///
/// On a terminal the line is redrawn in place, elsewhere each write is a line of its own without the bar; either way at
/// most one each `seconds_between`, but always the last. The ETA takes remaining steps to be as long as past ones.
class progress {
 public:
  /// Errors: value_error for a total below 0.
  progress(std::string label, std::int64_t total, progress_options options = {})
      : label_(std::move(label)), total_(total), options_(std::move(options)) {
    expect_value(total >= 0, "milkit::train::progress", "total is ", total, ", expected 0 or more");
    if (options_.seconds_between <= 0) options_.seconds_between = options_.terminal ? 0.1 : 10;
    if (options_.out) last_ = start_ = options_.seconds();
  }
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  /// Ends a line that was left open (an exception on the way), so that the next text starts on a fresh one.
  ~progress() {
    if (!open_) return;
    try {
      *options_.out << std::endl;
    } catch (...) {  // a stream that throws must not end the program from a destructor
    }
  }

  /// Tells that `done` of the total are finished.
  void update(std::int64_t done, std::span<const metric> figures = {}) {
    if (!options_.out || finished_) return;
    const double now = options_.seconds();
    finished_ = done >= total_;
    if (!finished_ && written_ && now - last_ < options_.seconds_between) return;
    const std::string text = line(done, now, figures);
    if (options_.terminal) *options_.out << '\r' << text << "\x1b[K" << (finished_ ? "\n" : "") << std::flush;
    else *options_.out << text << std::endl;
    open_ = options_.terminal && !finished_;
    written_ = true;
    last_ = now;
  }
  void update(std::int64_t done, std::initializer_list<metric> figures) {
    update(done, std::span<const metric>(figures.begin(), figures.size()));
  }

 private:
  std::string line(std::int64_t done, double now, std::span<const metric> figures) const {
    const double share = total_ > 0 ? static_cast<double>(done) / static_cast<double>(total_) : 1;
    std::string text = label_;
    if (options_.terminal) {
      constexpr int width = 24;
      const auto filled = static_cast<std::size_t>(std::lround(width * (share < 0 ? 0 : share > 1 ? 1 : share)));
      text += message(" [", std::string(filled, '#'), std::string(width - filled, '-'), "]");
    }
    char number[48];
    std::snprintf(number, sizeof number, " %3.0f %%", 100 * share);
    text += message(number, "  ", done, "/", total_);
    const std::int64_t fresh = done - options_.already_done;
    const double each_step = (now - start_) / static_cast<double>(fresh > 0 ? fresh : 1);
    if (finished_) text += message("  took ", duration_text(now - start_));
    else text += message("  ETA ", fresh > 0 ? duration_text(each_step * static_cast<double>(total_ - done)) : "?");
    for (const metric& each : figures) {
      std::snprintf(number, sizeof number, " %.4g", each.value);
      text += message("  ", each.name, number);
    }
    return text;
  }

  std::string label_;
  std::int64_t total_;
  progress_options options_;
  double start_ = 0, last_ = 0;
  bool written_ = false, open_ = false, finished_ = false;
};

}  // namespace milkit::train
