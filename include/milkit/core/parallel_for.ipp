#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>

#include <milkit/core/parallel_for.hpp>

namespace milkit {

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
  /// Calls `work()` and keeps what it throws. Not inlined, because clang 14 at -O3 lets the handlers of an
  /// OpenMP region take each other's registers and crash.
  [[gnu::noinline]] void guard(std::int64_t chunk, function_ref<void()> work) noexcept {
    try {
      work();
    } catch (...) {
      keep(chunk);
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

MILKIT_INLINE int thread_index() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

/// Gives every worker as much memory as the one that needed most: which thread runs which task is chance, and no step after
/// the first may allocate.
MILKIT_INLINE void level_workspaces(cpu& backend, int threads) noexcept {
  std::size_t most = 0;
  for (int t = 0; t < threads; ++t) most = (std::max)(most, backend.worker(t).workspace.peak_bytes());
  for (int t = 0; t < threads; ++t) try {
      if (auto& own = backend.worker(t).workspace; own.bytes_in_use() == 0) own.reserve(most);
    } catch (...) {  // it would only have been a head start
    }
}

MILKIT_INLINE void run_chunks(cpu& backend, std::int64_t rows, std::int64_t chunk_rows, chunk_body body) {
  const std::int64_t chunks = chunk_count(rows, chunk_rows);
  const int threads = static_cast<int>(chunks < backend.thread_count() ? chunks : backend.thread_count());
  if (threads <= 1) {
    for (std::int64_t i = 0; i < chunks; ++i) body(chunk_at(rows, chunk_rows, i), 0);
    return;
  }
  first_exception failure;
#if defined(_OPENMP)
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
#endif
  for (std::int64_t i = 0; i < chunks; ++i)
    failure.guard(i, [&] { body(chunk_at(rows, chunk_rows, i), thread_index()); });
  failure.rethrow();
}

MILKIT_INLINE void run_in_order(cpu& backend, std::int64_t count, ordered_task task) {
  const bool planning = backend.workspace.planning();
  const int threads = static_cast<int>(count < backend.thread_count() ? count : backend.thread_count());
  for (int t = 0; t < threads; ++t) backend.worker(t);
  if (threads <= 1 || planning) {
    for (int t = 0; t < (planning ? threads : 1); ++t)
      for (std::int64_t i = 0; i < count; ++i) {
        cpu& worker = backend.worker(t);
        const auto scope = worker.workspace.scope();
        task(worker, i, [] { return true; });
      }
    return;
  }
  // Not OpenMP's `ordered`: LLVM's runtime allocates memory at every turn. Tasks are handed out in ascending order, so the
  // thread whose turn it is never waits.
  first_exception failure;
  std::atomic<std::int64_t> next{0}, turn{0};
  const auto work = [&] {
    for (std::int64_t i = next++; i < count; i = next++) {
      cpu& worker = *backend.workers[static_cast<std::size_t>(thread_index())];
      const auto scope = worker.workspace.scope();
      const auto my_turn = [&] {
        for (std::int64_t now = turn; now != i; now = turn) turn.wait(now);
        return !failure.before(i);
      };
      failure.guard(i, [&] { task(worker, i, my_turn); });
      my_turn();  // a task that failed has not waited
      turn = i + 1;
      turn.notify_all();
    }
  };
#if defined(_OPENMP)
#pragma omp parallel num_threads(threads)
#endif
  work();
  failure.rethrow();
  level_workspaces(backend, threads);
}

}  // namespace detail

}  // namespace milkit
