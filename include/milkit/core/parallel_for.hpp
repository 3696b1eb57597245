#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <limits>

#include <milkit/core/cpu.hpp>

namespace milkit {

/// A run of consecutive rows.
struct row_range {
  std::int64_t first = 0;
  std::int64_t count = 0;
  friend bool operator==(const row_range&, const row_range&) = default;
};

/// How many chunks of `size` rows cover `rows` rows, and which rows the `i`-th holds.
inline std::int64_t chunk_count(std::int64_t rows, std::int64_t size) {
  return rows <= 0 ? 0 : (rows + size - 1) / size;
}
inline row_range chunk_at(std::int64_t rows, std::int64_t size, std::int64_t i) {
  const std::int64_t first = i * size;
  return {first, rows - first < size ? rows - first : size};
}

namespace detail {

/// Keeps the exception of the lowest chunk, so that which one is reported does not depend on timing.
class first_exception {
 public:
  void keep(std::int64_t chunk) noexcept {
#if defined(_OPENMP)
#pragma omp critical(milkit_first_exception)
#endif
    if (chunk < chunk_) {
      chunk_ = chunk;
      exception_ = std::current_exception();
    }
  }
  /// Whether `work()` came to its end; what it throws is kept. Not inlined, because clang 14 at -O3 lets the handlers of an
  /// OpenMP region take each other's registers and crash.
  template <class Work>
  [[gnu::noinline]] bool guard(std::int64_t chunk, Work&& work) noexcept {
    try {
      work();
      return true;
    } catch (...) {
      keep(chunk);
      return false;
    }
  }
  /// Whether a chunk before this one has failed.
  bool before(std::int64_t chunk) const noexcept {
    bool failed = false;
#if defined(_OPENMP)
#pragma omp critical(milkit_first_exception)
#endif
    failed = chunk_ < chunk;
    return failed;
  }
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::int64_t chunk_ = (std::numeric_limits<std::int64_t>::max)();
  std::exception_ptr exception_;
};

inline int thread_index() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

/// Gives every worker as much memory as the one that needed most: which thread runs which task is chance, and no step after
/// the first may allocate.
inline void level_workspaces(cpu& backend, int threads) noexcept {
  std::size_t most = 0;
  for (int t = 0; t < threads; ++t) most = (std::max)(most, backend.worker(t).workspace.peak_bytes());
  for (int t = 0; t < threads; ++t) try {
      if (auto& own = backend.worker(t).workspace; own.bytes_in_use() == 0) own.reserve(most);
    } catch (...) {  // it would only have been a head start
    }
}

}  // namespace detail

/// Calls `body(row_range)` for each chunk of `chunk_rows` rows, on `backend.thread_count()` threads with OpenMP and one
/// after the other without. The chunks depend on `rows` and `chunk_rows` alone, so a body that computes each chunk by
/// itself gives the same result at any thread count. A body that takes a second argument gets the number of its thread,
/// 0 to `thread_count() - 1`, to pick its own scratch memory. An exception ends in the caller; of several, the lowest
/// chunk's.
template <class Body>
void parallel_for(cpu& backend, std::int64_t rows, std::int64_t chunk_rows, Body&& body) {
  const auto call = [&](std::int64_t chunk, int thread) {
    if constexpr (std::invocable<Body&, row_range, int>) body(chunk_at(rows, chunk_rows, chunk), thread);
    else body(chunk_at(rows, chunk_rows, chunk));
  };
  const std::int64_t chunks = chunk_count(rows, chunk_rows);
  const int threads = static_cast<int>(chunks < backend.thread_count() ? chunks : backend.thread_count());
  if (threads <= 1) {
    for (std::int64_t i = 0; i < chunks; ++i) call(i, 0);
    return;
  }
  detail::first_exception failure;
#if defined(_OPENMP)
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
#endif
  for (std::int64_t i = 0; i < chunks; ++i) failure.guard(i, [&] { call(i, detail::thread_index()); });
  failure.rethrow();
}

/// A parallel sum in a fixed order: `result = body(worker, i)` for each of `count` tasks, on a thread's own worker
/// backend, each followed by `commit(worker, i, result)`, which runs alone and in ascending `i`. The worker's workspace
/// is released after the commit, so the result may be a view into it. Same outcome at any thread count, also where
/// tasks throw: those below the lowest that did are committed, no other, and its exception ends in the caller. On a
/// planning backend every thread's worker runs every task, because any thread may come to run the one that needs most.
template <class Body, class Commit>
void parallel_in_order(cpu& backend, std::int64_t count, Body&& body, Commit&& commit) {
  const bool planning = backend.workspace.planning();
  const int threads = static_cast<int>(count < backend.thread_count() ? count : backend.thread_count());
  for (int t = 0; t < threads; ++t) backend.worker(t);
  if (threads <= 1 || planning) {
    for (int t = 0; t < (planning ? threads : 1); ++t)
      for (std::int64_t i = 0; i < count; ++i) {
        cpu& worker = backend.worker(t);
        const auto scope = worker.workspace.scope();
        commit(worker, i, body(worker, i));
      }
    return;
  }
  // Not OpenMP's `ordered`: LLVM's runtime allocates memory at every turn. Tasks are handed out in ascending order, so the
  // thread whose turn it is never waits.
  detail::first_exception failure;
  std::atomic<std::int64_t> next{0}, turn{0};
  const auto work = [&] {
    for (std::int64_t i = next++; i < count; i = next++) {
      cpu& worker = *backend.workers[static_cast<std::size_t>(detail::thread_index())];
      const auto scope = worker.workspace.scope();
      decltype(body(worker, i)) result{};
      const bool done = failure.guard(i, [&] { result = body(worker, i); });
      for (std::int64_t now = turn; now != i; now = turn) turn.wait(now);
      failure.guard(i, [&] {
        if (done && !failure.before(i)) commit(worker, i, result);
      });
      turn = i + 1;
      turn.notify_all();
    }
  };
#if defined(_OPENMP)
#pragma omp parallel num_threads(threads)
#endif
  work();
  failure.rethrow();
  detail::level_workspaces(backend, threads);
}

}  // namespace milkit
