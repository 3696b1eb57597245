#pragma once

#include <milkit/train/progress.hpp>

namespace milkit::train {

MILKIT_INLINE double steady_seconds() {
#if defined(_WIN32)
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
#else  // <chrono> alone costs half a second to parse
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
#endif
}

MILKIT_INLINE progress_options progress_to_stderr() {
  progress_options options;
  options.out = &std::cerr;
#if defined(_WIN32)
  options.terminal = _isatty(2) != 0;
#else
  options.terminal = isatty(2) != 0;
#endif
  return options;
}

MILKIT_INLINE std::string duration_text(double seconds) {
  if (!(seconds >= 0 && seconds < 3.6e8)) return "?";
  const auto whole = static_cast<long long>(std::llround(seconds));
  char text[32];
  if (whole < 3600) std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  else std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

MILKIT_INLINE progress::progress(std::string label, std::int64_t total, progress_options options)
    : label_(std::move(label)), total_(total), options_(std::move(options)) {
  expect_value(total >= 0, "milkit::train::progress", "total is ", total, ", expected 0 or more");
  if (options_.seconds_between <= 0) options_.seconds_between = options_.terminal ? 0.1 : 10;
  if (options_.out) last_ = start_ = options_.seconds();
}

MILKIT_INLINE progress::~progress() {
  if (!open_) return;
  try {
    *options_.out << std::endl;
  } catch (...) {  // a stream that throws must not end the program from a destructor
  }
}

MILKIT_INLINE void progress::update(std::int64_t done, std::span<const metric> figures) {
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

MILKIT_INLINE std::string progress::line(std::int64_t done, double now, std::span<const metric> figures) const {
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

}  // namespace milkit::train
