#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/rows/softmax_cpu.hpp>
#include <milkit/ops/selection/draws_cpu.hpp>

#include <support/floats.hpp>

#include "sampling_cases.hpp"

using namespace milkit;

TEST_CASE_TEMPLATE("largest remainder agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const char* name : {"", "_few", "_single", "_ties", "_clamped"}) {
    CAPTURE(name);
    const test::golden_case golden("sampling_largest_remainder" + std::string(name));
    const auto p = golden.get<T, 1>("attention");
    const auto n = golden.option<std::int64_t>("draw_count");
    tensor<std::int64_t, 1> capacity, counts(p.shape());
    if (golden.has("capacity")) capacity = golden.get<std::int64_t, 1>("capacity");
    sampling::largest_remainder(
        p.view(), n, capacity.size() > 0 ? std::as_const(capacity).view() : vector_view<const std::int64_t>(),
        counts.view());
    CHECK(golden.equal("counts", counts));
  }
}
