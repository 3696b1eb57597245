// labels: emulated unsanitized nvcc
#include <doctest/doctest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include <support/emulation.hpp>
#include <support/paths.hpp>

#include "everything.cuh"

// A kernel that no test launches is a guess. This compares what the card has run, after every op of every .cuh, with the kernels (`x_kernel`), and what they are made of (`x_element`, `x_terms`, `x_product`), that the headers define.
using namespace milkit;

namespace {

std::set<std::string> matches(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator each(text.begin(), text.end(), pattern), end; each != end; ++each) found.insert((*each)[1]);
  return found;
}

std::set<std::string> defined_kernels() {
  std::set<std::string> all;
  for (const auto& file : std::filesystem::recursive_directory_iterator(test::source_dir() / "include")) {
    if (file.path().extension() != ".cuh") continue;
    std::ostringstream text;
    text << std::ifstream(file.path()).rdbuf();
    all.merge(matches(text.str(), std::regex(R"(\bstruct (\w+_(?:kernel|element|terms|product))\b)")));
  }
  return all;
}

std::set<std::string> launched_kernels() {
  std::set<std::string> all;
  for (const auto& [name, count] : emulation::the_card().kernels)
    all.merge(matches(name, std::regex(R"((\w+_(?:kernel|element|terms|product))\b)")));
  return all;
}

}  // namespace

TEST_CASE("cuda: every op runs, in any order of the threads") {
  milkit::cuda gpu;
  for (const std::uint64_t seed : {0u, 1u, 9u})
    test::with_order(seed, [&] {
      CHECK_NOTHROW(test::launch_everything<float>(gpu));
      CHECK_NOTHROW(test::launch_everything<double>(gpu));
      CHECK_NOTHROW(gpu.synchronize());
    });
  CHECK(gpu.workspace.bytes_in_use() == 0);
}

TEST_CASE("cuda: every kernel of the library has been launched") {
  milkit::cuda gpu;
  emulation::the_card().kernels.clear();
  test::launch_everything<float>(gpu), test::launch_everything<double>(gpu);
  const auto defined = defined_kernels(), launched = launched_kernels();
  CHECK(defined.size() >= 40);
  for (const std::string& name : defined) {
    INFO(name);
    CHECK(launched.contains(name));
  }
}
