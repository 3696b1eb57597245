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

namespace milkit::data {

/// A regular file, open for reading at any offset by any number of threads (pread). Every failure is an io_error that
/// names the file.
class input_file {
 public:
  explicit input_file(const std::filesystem::path& path) : name_(path.string()) {
    descriptor_ = ::open(name_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // opening a pipe must not hang
    if (descriptor_ < 0) throw io_error(message(name_, ": cannot be opened: ", std::strerror(errno)));
    struct ::stat status = {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(descriptor_);
      throw io_error(message(name_, ": is not a regular file"));
    }
    size_ = status.st_size;
  }
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
  bool is_locked() const {
    const bool locked = ::flock(descriptor_, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!locked) ::flock(descriptor_, LOCK_UN);
    return locked;
  }

  /// Fills `bytes` bytes from `offset`; io_error where the file ends before.
  void read(std::int64_t offset, void* data, std::int64_t bytes) const {
    auto* out = static_cast<char*>(data);
    for (std::int64_t done = 0; done < bytes;) {
      const ::ssize_t got = ::pread(descriptor_, out + done, static_cast<std::size_t>(bytes - done), offset + done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw io_error(message(name_, ": cannot be read: ", std::strerror(errno)));
      if (got == 0) throw io_error(message(name_, ": ends before byte ", offset + bytes));
      done += got;
    }
  }

 private:
  std::string name_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
};

/// The whole file as bytes; for text and small headers.
inline std::string read_all(const std::filesystem::path& path) {
  const input_file file(path);
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read(0, text.data(), file.size());
  return text;
}

}  // namespace milkit::data
