#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <milkit/core/error.hpp>

namespace milkit::data {

/// Writes a file so that its name holds either the old content or the whole new one, whatever happens in between: a
/// temporary file `<name>.tmp-<process>-<number>` in the same folder is written, synced, renamed, and its folder
/// synced.
///
///     atomic_file file("weights.safetensors");
///     file.write(bytes);
///     file.commit();
///
/// Without `commit` (an exception, a full disk) the temporary file is removed and the old file stays. Errors: io_error
/// that names the file and the system's reason. Only a regular file is replaced; a symbolic link is followed. A process
/// that is killed leaves its temporary file behind.
class atomic_file {
 public:
  explicit atomic_file(const std::filesystem::path& path) {
    std::error_code ignored;
    const auto target =
        std::filesystem::is_symlink(path, ignored) ? std::filesystem::weakly_canonical(path, ignored) : path;
    name_ = (target.empty() ? path : target).string();
    const auto status = std::filesystem::status(name_, ignored);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
      throw io_error(message(name_, ": cannot be written: it is not a regular file"));
    static std::atomic<std::uint64_t> next{0};
    do {
      temporary_ = message(name_, ".tmp-", ::getpid(), "-", next.fetch_add(1));
      descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ < 0) fail("cannot be created");
  }
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  ~atomic_file() { discard(); }

  const std::string& name() const { return name_; }
  /// Of the file that will replace it, for a library that writes files by their names.
  const std::string& temporary_name() const { return temporary_; }

  void write(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const char*>(data);
    for (std::size_t done = 0; done < bytes;) {
      const ::ssize_t put = ::write(descriptor_, from + done, bytes - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail("cannot be written");
      done += static_cast<std::size_t>(put);
    }
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Makes what was written the content of the file. Call it once, last.
  void commit() {
    if (::fsync(descriptor_) != 0) fail("cannot be synced to disk");
    if (::close(std::exchange(descriptor_, -1)) != 0) fail("cannot be closed");
    if (::rename(temporary_.c_str(), name_.c_str()) != 0) fail("cannot be replaced");
    temporary_.clear();
    sync_folder();
  }

 private:
  [[noreturn]] void fail(std::string_view what) {
    const int reason = errno;
    discard();
    throw io_error(message(name_, ": ", what, ": ", std::strerror(reason)));
  }

  void discard() noexcept {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
  }

  /// Some file systems cannot sync a folder (EINVAL); there the rename is all that can be had.
  void sync_folder() {
    const auto folder = std::filesystem::path(name_).parent_path();
    const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;  // a folder that may be written but not read
    const bool synced = ::fsync(descriptor) == 0 || errno == EINVAL;
    const int reason = errno;
    ::close(descriptor);
    errno = reason;
    if (!synced) fail("is written, but its folder cannot be synced to disk");
  }

  std::string name_, temporary_;
  int descriptor_ = -1;
};

/// Writes `text` as the whole content of a file, atomically.
inline void write_all(const std::filesystem::path& path, std::string_view text) {
  atomic_file file(path);
  file.write(text);
  file.commit();
}

}  // namespace milkit::data
