#pragma once

#include <doctest/doctest.h>

#include <algorithm>

#include <milkit/core/cpu.hpp>

namespace milkit::test {

/// One thread uses what the plan says. Of several, the plan takes each to run the task that needs most, and one of them
/// did: so much is known whichever thread ran which task.
inline void expect_as_planned(const cpu& backend, std::size_t planned) {
  std::size_t most = 0;
  for (const auto& worker : backend.workers) most = (std::max)(most, worker->workspace.peak_bytes());
  CHECK(backend.peak_bytes() <= planned);
  CHECK(planned == backend.workspace.peak_bytes() + backend.workers.size() * most);
}

}  // namespace milkit::test
