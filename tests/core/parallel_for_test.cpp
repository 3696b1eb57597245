#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <milkit/core/parallel_for.hpp>

using namespace milkit;

TEST_CASE("chunks cover every row once, whatever the thread count") {
  for (const int threads : {1, 2, 5, 16})
    for (const std::int64_t rows : {0, 1, 2, 31, 33, 257, 1000}) {
      cpu backend{.threads = threads};
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(rows));
      std::atomic<int> calls = 0;
      std::atomic<bool> as_agreed = true;
      parallel_for(backend, rows, 32, [&](row_range chunk, int thread) {
        ++calls;
        if (chunk.first % 32 != 0 || chunk.count != (std::min)(std::int64_t{32}, rows - chunk.first)) as_agreed = false;
        if (thread < 0 || thread >= backend.thread_count()) as_agreed = false;
        for (std::int64_t i = chunk.first; i < chunk.first + chunk.count; ++i) ++seen[static_cast<std::size_t>(i)];
      });
      CHECK(calls == chunk_count(rows, 32));
      CHECK(as_agreed);
      CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& each) { return each == 1; }));
    }
  CHECK(chunk_count(0, 8) == 0);
  CHECK(chunk_count(8, 8) == 1);
  CHECK(chunk_count(9, 8) == 2);
  CHECK(chunk_at(9, 8, 1) == row_range{8, 1});
}

TEST_CASE("an exception crosses parallel_for intact, and of several the lowest chunk's") {
  for (const int threads : {1, 2, 7}) {
    cpu backend{.threads = threads};
    const auto body = [](row_range chunk) {
      if (chunk.first >= 30) throw value_error("chunk " + std::to_string(chunk.first));
    };
    for (int repeat = 0; repeat < 20; ++repeat)
      CHECK_THROWS_WITH_AS(parallel_for(backend, 100, 1, body), "chunk 30", value_error);
    struct own {
      int number;
    };
    int caught = 0;
    try {
      parallel_for(backend, 10, 1, [](row_range) { throw own{7}; });
    } catch (const own& error) {
      caught = error.number;
    }
    CHECK(caught == 7);
    CHECK_NOTHROW(parallel_for(backend, 10, 1, [](row_range) {}));
  }
}

TEST_CASE("parallel_in_order: any thread count -> ascending commits, the same sum") {
  double want = 0;
  for (const int threads : {1, 2, 5}) {
    cpu backend{.threads = threads};
    double sum = 0;
    std::vector<std::int64_t> order;
    parallel_in_order(
        backend, 200,
        [](cpu& worker, std::int64_t i) {
          const auto values = worker.workspace.allocate<double>(100);
          for (std::int64_t j = 0; j < 100; ++j) values(j) = 1.0 / static_cast<double>(1 + i * 100 + j);
          return values;
        },
        [&](cpu&, std::int64_t i, vector_view<double> values) {
          order.push_back(i);
          for (std::int64_t j = 0; j < 100; ++j) sum += values(j);
        });
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(order.size() == 200);
    if (threads == 1) want = sum;
    CHECK(sum == want);  // to the bit
    for (const auto& worker : backend.workers) CHECK(worker->workspace.bytes_in_use() == 0);
  }
}

TEST_CASE("parallel_in_order stops committing after a failure, in a body or in a commit") {
  for (const int threads : {1, 3}) {
    cpu backend{.threads = threads};
    std::int64_t committed = 0;
    const auto run = [&](std::int64_t bad_body, std::int64_t bad_commit) {
      committed = 0;
      parallel_in_order(
          backend, 50,
          [&](cpu&, std::int64_t i) {
            if (i == bad_body) throw shape_error("body " + std::to_string(i));
            return i;
          },
          [&](cpu&, std::int64_t i, std::int64_t result) {
            if (i == bad_commit) throw value_error("commit " + std::to_string(i));
            committed += result == i;
          });
    };
    CHECK_THROWS_WITH_AS(run(10, -1), "body 10", shape_error);
    CHECK(committed == 10);
    CHECK_THROWS_WITH_AS(run(-1, 20), "commit 20", value_error);
    CHECK(committed == 20);
    CHECK_NOTHROW(run(-1, -1));
    CHECK(committed == 50);
  }
}

TEST_CASE("parallel_in_order commits what is below a failure, also where that came first") {
  cpu backend{.threads = 2};
  if (backend.thread_count() < 2) return;  // compiled without OpenMP
  std::atomic<bool> failing = false;
  std::vector<std::int64_t> committed;
  const auto wait_for_failure = [&] {  // chunk 1 has thrown, or at least is about to
    for (int i = 0; i < 1000 && !failing; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  CHECK_THROWS_WITH_AS(parallel_in_order(
                           backend, 4,
                           [&](cpu&, std::int64_t i) {
                             if (i == 0) wait_for_failure();
                             if (i == 1) failing = true;
                             if (i == 1) throw value_error("body 1");
                             return i;
                           },
                           [&](cpu&, std::int64_t i, std::int64_t) { committed.push_back(i); }),
                       "body 1", value_error);
  CHECK(failing);
  CHECK(committed == std::vector<std::int64_t>{0});
}
