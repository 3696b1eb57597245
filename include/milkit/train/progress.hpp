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
#include <milkit/core/macros.hpp>
#include <milkit/train/history.hpp>

namespace milkit::train {

/// Seconds of a clock that never goes back.
MILKIT_INLINE double steady_seconds();

/// The default says nothing: a library is silent unless it is asked. `progress_to_stderr()` is what a program wants.
struct progress_options {
  std::ostream* out = nullptr;                       ///< null: silent
  bool terminal = false;                             ///< a bar that is redrawn in place, or plain lines
  double seconds_between = 0;                        ///< least time between two writes; 0: 0.1 for a bar, 10 for lines
  std::int64_t already_done = 0;                     ///< steps done before a resume: they do not enter the ETA
  std::function<double()> seconds = steady_seconds;  ///< the clock
};

/// Progress on stderr: a bar where stderr is a terminal, plain lines elsewhere.
MILKIT_INLINE progress_options progress_to_stderr();

/// 0:42, 12:05 or 3:07:09.
MILKIT_INLINE std::string duration_text(double seconds);

/// How far a long loop is, how long it will take, and its current figures:
///
///     fold 3 [############------------]  50 %  6/12  ETA 0:42  loss 0.4312  auc 0.912
///
/// On a terminal the line is redrawn in place, elsewhere each write is a line of its own without the bar; either way at
/// most one each `seconds_between`, but always the last. The ETA takes remaining steps to be as long as past ones.
class progress {
 public:
  /// Errors: value_error for a total below 0.
  MILKIT_INLINE progress(std::string label, std::int64_t total, progress_options options = {});
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  /// Ends a line that was left open (an exception on the way), so that the next text starts on a fresh one.
  MILKIT_INLINE ~progress();

  /// Tells that `done` of the total are finished.
  MILKIT_INLINE void update(std::int64_t done, std::span<const metric> figures = {});
  void update(std::int64_t done, std::initializer_list<metric> figures) {
    update(done, std::span<const metric>(figures.begin(), figures.size()));
  }

 private:
  MILKIT_INLINE std::string line(std::int64_t done, double now, std::span<const metric> figures) const;

  std::string label_;
  std::int64_t total_;
  progress_options options_;
  double start_ = 0, last_ = 0;
  bool written_ = false, open_ = false, finished_ = false;
};

}  // namespace milkit::train

#if !defined(MILKIT_COMPILED)
#include <milkit/train/progress.ipp>
#endif
