#include <doctest/doctest.h>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <vector>

#include <milkit/core/workspace.hpp>

#include <support/paths.hpp>
#include <support/sanitized.hpp>

using namespace milkit;

namespace {

/// Uses 100, 5 and 40000 floats, of which the last two are not alive together.
void step(workspace<host_space>& memory) {
  const auto scope = memory.scope();
  const auto a = memory.allocate<float>(100);
  {
    const auto inner = memory.scope();
    (void)memory.allocate<float>(5);
  }
  const auto b = memory.allocate<float, 2>(shape<2>{200, 200});
  if (memory.planning()) return;
  a(99) = 1;
  b(199, 199) = 2;
  CHECK(a(99) == 1);
  CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % alignment == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(b.data()) % alignment == 0);
}

constexpr std::size_t step_bytes = 448 + 160000;  // each rounded up to 64 bytes

}  // namespace

TEST_CASE("a workspace releases by scopes and remembers its peak") {
  workspace<host_space> memory;
  step(memory);
  CHECK(memory.bytes_in_use() == 0);
  CHECK(memory.peak_bytes() == step_bytes);
  memory.reset_peak();
  CHECK(memory.peak_bytes() == 0);
  const auto scope = memory.scope();
  const auto one = memory.allocate<std::uint8_t>(1);
  CHECK(memory.bytes_in_use() == alignment);
  CHECK(memory.allocate<std::uint8_t>(0).data() == nullptr);
  CHECK(memory.bytes_in_use() == alignment);
  CHECK(one.extent(0) == 1);
}

TEST_CASE("a released stretch is used again") {
  workspace<host_space> memory;
  const auto scope = memory.scope();
  float* first = nullptr;
  {
    const auto inner = memory.scope();
    first = memory.allocate<float>(10).data();
  }
  CHECK(memory.allocate<float>(7).data() == first);
}

TEST_CASE("workspace: grows in blocks -> live memory stays, then one block of the peak") {
  workspace<host_space> memory;
  {
    const auto scope = memory.scope();
    std::vector<vector_view<double>> all;
    for (int i = 0; i < 40; ++i) {
      all.push_back(memory.allocate<double>(5000));
      for (std::int64_t j = 0; j < 5000; ++j) all.back()(j) = i;
    }
    for (int i = 0; i < 40; ++i) {
      CHECK(all[static_cast<std::size_t>(i)](0) == i);
      CHECK(all[static_cast<std::size_t>(i)](4999) == i);
    }
    CHECK(memory.reserved_bytes() >= memory.peak_bytes());
  }
  const std::size_t peak = memory.peak_bytes();
  CHECK(memory.reserved_bytes() == peak);
  const auto scope = memory.scope();
  float* data = memory.allocate<float>(1).data();
  const auto rest = memory.allocate<std::uint8_t>(static_cast<std::int64_t>(peak - alignment));
  CHECK(reinterpret_cast<std::uint8_t*>(data) + alignment == rest.data());
  CHECK(memory.reserved_bytes() == peak);
}

TEST_CASE("after the first step nothing is taken from the system") {
  workspace<host_space> memory;
  step(memory);
  const std::size_t reserved = memory.reserved_bytes();
  for (int i = 0; i < 3; ++i) step(memory);
  CHECK(memory.reserved_bytes() == reserved);
}

TEST_CASE("a planning workspace counts the same bytes and takes none") {
  workspace<host_space> memory, plan(true);
  step(memory);
  step(plan);
  CHECK(plan.peak_bytes() == memory.peak_bytes());
  CHECK(plan.reserved_bytes() == 0);
}

TEST_CASE("a workspace over a slice stays within it") {
  workspace<host_space> memory;
  const auto scope = memory.scope();
  workspace<host_space> slice(memory.allocate<std::byte>(256));
  const std::size_t reserved = memory.reserved_bytes();
  {
    const auto inner = slice.scope();
    const auto a = slice.allocate<float>(32), b = slice.allocate<float>(32);
    CHECK(b.data() == a.data() + 32);
    CHECK_THROWS_WITH_AS((void)slice.allocate<std::byte>(1),
                         "milkit::workspace: a slice of 256 bytes was asked for 320", std::length_error);
  }
  CHECK(slice.bytes_in_use() == 0);
  CHECK_NOTHROW((void)slice.allocate<float>(64));
  CHECK(memory.reserved_bytes() == reserved);
}

TEST_CASE("workspace: the system has no memory -> an error, and it goes on uncounted") {
#if defined(MILKIT_TEST_SANITIZED)
  throw test::skipped("sanitizers end the program where memory is refused");
#endif
  workspace<host_space> memory;
  {
    const auto scope = memory.scope();
    (void)memory.allocate<std::byte>(100000);
    (void)memory.allocate<std::byte>(300000);
    CHECK_THROWS_AS((void)memory.allocate<std::byte>(std::int64_t{1} << 60), std::bad_alloc);
    CHECK_THROWS_AS((void)memory.allocate<std::byte>(std::int64_t{1} << 60), std::bad_alloc);
  }
  CHECK(memory.bytes_in_use() == 0);
  CHECK(memory.peak_bytes() == 100032 + 300032);
  CHECK(memory.reserved_bytes() == 100032 + 300032);
  step(memory);
  CHECK(memory.reserved_bytes() == 100032 + 300032);
}

TEST_CASE("reserved and pinned memory stays one block and where it is") {
  workspace<host_space> memory, plan(true);
  step(plan);
  memory.reserve(plan.peak_bytes());
  CHECK(memory.reserved_bytes() == step_bytes);
  memory.pin();
  float* first = nullptr;
  {
    const auto scope = memory.scope();
    first = memory.allocate<float>(100).data();
    CHECK_THROWS_WITH_AS((void)memory.allocate<float>(40001),
                         "milkit::workspace: pinned at 160448 bytes, was asked for 160064 beside 448 in use",
                         std::length_error);
    CHECK_THROWS_AS(memory.reserve(1 << 20), std::logic_error);
  }
  step(memory);
  CHECK(memory.reserved_bytes() == step_bytes);
  const auto scope = memory.scope();
  CHECK(memory.allocate<float>(100).data() == first);
}

TEST_CASE("a shape that no memory holds is refused, and not multiplied out") {
  workspace<host_space> memory;
  const std::int64_t huge = std::int64_t{1} << 40;
  const auto scope = memory.scope();
  CHECK_THROWS_WITH_AS((void)memory.allocate<float>(shape<2>{huge, huge}),
                       doctest::Contains("[1099511627776, 1099511627776] elements of 4 bytes"), shape_error);
  CHECK_THROWS_AS((void)memory.allocate<float>(shape<3>{0, huge, huge}), shape_error);
  CHECK_THROWS_AS((void)memory.allocate<float>(-1), shape_error);
  CHECK_THROWS_AS((tensor<double, 1>(shape<1>{std::int64_t{1} << 60})), shape_error);
  CHECK(memory.bytes_in_use() == 0);
}
