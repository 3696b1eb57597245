#include <doctest/doctest.h>

#include <milkit/core/cpu.hpp>
#include <milkit/core/parallel_for.hpp>

using namespace milkit;

namespace {

template <class Backend>
struct twice_impl {
  static vector_view<float> scratch(Backend& backend, std::int64_t n, int*) {
    return backend.workspace.template allocate<float>(n);
  }
  static void run(Backend&, vector_view<float> memory, std::int64_t n, int* runs) {
    for (std::int64_t i = 0; i < n; ++i) memory(i) = 1;
    ++*runs;
  }
};

}  // namespace

TEST_CASE("execute: scratch memory -> taken, used, given back; a planner only counts") {
  cpu backend{.threads = 1}, planner = backend.planner();
  int runs = 0, *counter = &runs;
  execute<twice_impl>(backend, std::int64_t{1000}, counter);
  CHECK(runs == 1);
  execute<twice_impl>(planner, std::int64_t{1000}, counter);
  CHECK(runs == 1);
  CHECK(planner.workspace.planning());
  CHECK(planner.peak_bytes() == backend.peak_bytes());
  CHECK(backend.peak_bytes() == 4032);
  CHECK(backend.workspace.bytes_in_use() == 0);
}

TEST_CASE("workers are kept, single-threaded, and counted in the peak") {
  cpu backend{.threads = 3};
  cpu& first = backend.worker(0);
  const cpu* last = &backend.worker(2);
  CHECK(last == backend.workers[2].get());
  CHECK(&backend.worker(0) == &first);
  CHECK(first.thread_count() == 1);
  const auto scope = backend.worker(1).workspace.scope();
  (void)backend.worker(1).workspace.allocate<double>(8);
  CHECK(backend.peak_bytes() == 64);
  CHECK(backend.planner().worker(0).workspace.planning());
}

TEST_CASE("kept memory goes into the workspace, or where `store` says") {
  cpu backend;
  CHECK(&backend.kept_memory() == &backend.workspace);
  workspace<host_space> apart;
  backend.store = &apart;
  CHECK(&backend.kept_memory() == &apart);
  CHECK(cpu{}.thread_count() >= 1);
}
