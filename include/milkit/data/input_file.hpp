#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <milkit/core/error.hpp>
#include <milkit/core/macros.hpp>

namespace milkit::data {

/// A regular file, open for reading at any offset by any number of threads (pread). Every failure is an io_error that
/// names the file.
class input_file {
 public:
  MILKIT_INLINE explicit input_file(const std::filesystem::path& path);
  input_file(input_file&& other) noexcept
      : name_(std::move(other.name_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}
  input_file& operator=(input_file&&) = delete;
  ~input_file() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  /// The path as it was given, for messages.
  const std::string& name() const { return name_; }
  std::int64_t size() const { return size_; }

  /// Whether another program has locked it for itself (flock).
  MILKIT_INLINE bool is_locked() const;

  /// Fills `bytes` bytes from `offset`; io_error where the file ends before.
  MILKIT_INLINE void read(std::int64_t offset, void* data, std::int64_t bytes) const;

 private:
  std::string name_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
};

/// The whole file as bytes; for text and small headers.
MILKIT_INLINE std::string read_all(const std::filesystem::path& path);

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/input_file.ipp>
#endif
