#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

namespace milkit::test {

/// Thrown by a test case that cannot run here. The case ends, and CTest counts it as skipped: neither passed nor
/// failed.
struct skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The folder of the golden tensors, of the real data: what the environment variable MILKIT_GOLDEN_DIR, MILKIT_DATA_DIR
/// says, else the CMake variable of that name. Both throw `skipped` where there is no such folder.
std::filesystem::path golden_dir();
std::filesystem::path data_dir();

/// A file in them, or `skipped` where it is missing.
std::filesystem::path golden_file(const std::string& name);
std::filesystem::path data_file(const std::string& name);

/// The root of the source tree: for what the repository carries, as `source_dir() / "examples" / "data"`.
std::filesystem::path source_dir();

/// An empty folder of its own, removed with everything in it at the end of its life.
class temporary_directory {
 public:
  temporary_directory();
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace milkit::test
