#pragma once

#include <concepts>
#include <cstdint>

#include <milkit/core/cpu.hpp>
#include <milkit/core/function_ref.hpp>
#include <milkit/core/macros.hpp>

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

/// `body(rows, thread)` for each chunk.
using chunk_body = function_ref<void(row_range, int)>;
MILKIT_INLINE void run_chunks(cpu& backend, std::int64_t rows, std::int64_t chunk_rows, chunk_body body);

/// A task computes, asks `my_turn()`, which waits for the tasks before it and says whether none of them failed, and commits
/// if so.
using ordered_task = function_ref<void(cpu& worker, std::int64_t i, function_ref<bool()> my_turn)>;
MILKIT_INLINE void run_in_order(cpu& backend, std::int64_t count, ordered_task task);

}  // namespace detail

/// Calls `body(row_range)` for each chunk of `chunk_rows` rows, on `backend.thread_count()` threads with OpenMP and one
/// after the other without. The chunks depend on `rows` and `chunk_rows` alone, so a body that computes each chunk by
/// itself gives the same result at any thread count. A body that takes a second argument gets the number of its thread,
/// 0 to `thread_count() - 1`, to pick its own scratch memory. An exception ends in the caller; of several, the lowest
/// chunk's.
template <class Body>
void parallel_for(cpu& backend, std::int64_t rows, std::int64_t chunk_rows, Body&& body) {
  if constexpr (std::invocable<Body&, row_range, int>) detail::run_chunks(backend, rows, chunk_rows, body);
  else detail::run_chunks(backend, rows, chunk_rows, [&body](row_range chunk, int) { body(chunk); });
}

/// A parallel sum in a fixed order: `result = body(worker, i)` for each of `count` tasks, on a thread's own worker
/// backend, each followed by `commit(worker, i, result)`, which runs alone and in ascending `i`. The worker's workspace
/// is released after the commit, so the result may be a view into it. Same outcome at any thread count, also where
/// tasks throw: those below the lowest that did are committed, no other, and its exception ends in the caller. On a
/// planning backend every thread's worker runs every task, because any thread may come to run the one that needs most.
template <class Body, class Commit>
void parallel_in_order(cpu& backend, std::int64_t count, Body&& body, Commit&& commit) {
  detail::run_in_order(backend, count, [&](cpu& worker, std::int64_t i, function_ref<bool()> my_turn) {
    auto result = body(worker, i);
    if (my_turn()) commit(worker, i, result);
  });
}

}  // namespace milkit

#if !defined(MILKIT_COMPILED)
#include <milkit/core/parallel_for.ipp>
#endif
