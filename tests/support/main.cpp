#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <set>
#include <string>
#include <string_view>

#if defined(MILKIT_TESTS_NEED_CARD)
#include <cuda_runtime_api.h>
#endif

#include <support/paths.hpp>
#include <support/sanitized.hpp>

#if defined(MILKIT_TEST_SANITIZED)
// LLVM's OpenMP runtime keeps memory for each loop until the program ends.
extern "C" const char* __lsan_default_suppressions() { return "leak:libomp"; }
#endif

namespace milkit::test {
namespace {

/// Why no case of this program can run here; empty where they can.
std::string obstacle() {
#if defined(MILKIT_TESTS_NEED_CARD)
  int cards = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&cards); error != cudaSuccess)
    return std::string("there is no card: ") + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")";
#endif
  return "";
}

std::filesystem::path folder(const char* variable, const char* fallback) {
  const char* said = std::getenv(variable);
  const std::filesystem::path path = said != nullptr && *said != '\0' ? said : fallback;
  if (!std::filesystem::is_directory(path))
    throw skipped("there is no folder " + path.string() + " (set " + variable + ")");
  return path;
}

std::filesystem::path existing(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) throw skipped("there is no file " + file.string());
  return file;
}

bool case_skipped = false;

struct empty_reporter : doctest::IReporter {
  explicit empty_reporter(const doctest::ContextOptions& options) : options_(options) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

 protected:
  const doctest::ContextOptions& options_;
};

/// `--reporters=ctest --list-test-cases` prints one `milkit_case(...)` a case, which tests/cases.cmake makes a CTest test of:
/// so CTest counts, runs and skips cases, not programs.
struct ctest_reporter : empty_reporter {
  using empty_reporter::empty_reporter;
  void report_query(const doctest::QueryData& query) override {
    std::set<std::string> seen;
    for (unsigned i = 0; i < query.num_data; ++i) {
      const std::string name = query.data[i]->m_name;
      if (!seen.insert(name).second) continue;
      // What CMake and the filter would read as syntax becomes `?`, which the filter takes for any character.
      std::string plain = name;
      for (char& c : plain)
        if (std::string_view(",;\\\"$[]").find(c) != std::string_view::npos) c = '?';
      *options_.cout << "milkit_case(\"" << plain << "\" \"" << query.data[i]->m_test_suite << "\")\n";
    }
  }
};

struct run_counts : empty_reporter {
  using empty_reporter::empty_reporter;
  static inline unsigned failed_cases = 0, skipped_cases = 0;
  static inline bool failed_assert = false, nothing_ran = false;
  void log_assert(const doctest::AssertData& data) override {
    const bool skips =
        data.m_threw && std::string_view(data.m_exception.c_str()).find("skipped: ") <= 1;  // after a quote
    failed_assert |= data.m_failed && !skips;
  }
  void test_case_start(const doctest::TestCaseData&) override { case_skipped = false; }
  void test_case_end(const doctest::CurrentTestCaseStats&) override { skipped_cases += case_skipped ? 1u : 0u; }
  void test_run_end(const doctest::TestRunStats& stats) override {
    failed_cases = stats.numTestCasesFailed;
    nothing_ran = stats.numTestCasesPassingFilters == 0;
  }
};

}  // namespace

std::filesystem::path golden_dir() { return folder("MILKIT_GOLDEN_DIR", MILKIT_GOLDEN_DIR); }
std::filesystem::path data_dir() { return folder("MILKIT_DATA_DIR", MILKIT_DATA_DIR); }
std::filesystem::path golden_file(const std::string& name) { return existing(golden_dir() / name); }
std::filesystem::path data_file(const std::string& name) { return existing(data_dir() / name); }
std::filesystem::path source_dir() { return MILKIT_SOURCE_DIR; }

temporary_directory::temporary_directory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "milkit-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a folder like " + pattern);
  path_ = pattern;
}
temporary_directory::~temporary_directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace milkit::test

REGISTER_EXCEPTION_TRANSLATOR(const milkit::test::skipped& reason) {
  milkit::test::case_skipped = true;
  return (std::string("skipped: ") + reason.what()).c_str();
}
DOCTEST_REGISTER_REPORTER("ctest", 0, milkit::test::ctest_reporter);
DOCTEST_REGISTER_LISTENER("counts", 1, milkit::test::run_counts);

/// 0: passed, 1: failed (also where a filter matches no case), 77: something was skipped and nothing failed.
int main(int argc, char** argv) {
  using counts = milkit::test::run_counts;
  doctest::Context context(argc, argv);
  const bool lists = std::any_of(argv, argv + argc, [](std::string_view each) { return each == "--list-test-cases"; });
  if (const std::string reason = lists ? "" : milkit::test::obstacle(); !reason.empty()) {
    std::cout << "skipped: " << reason << "\n";
    return 77;
  }
  const int result = context.run();
  if (counts::nothing_ran) return 1;
  return !counts::failed_assert && counts::skipped_cases > 0 && counts::failed_cases == counts::skipped_cases ? 77
                                                                                                              : result;
}
