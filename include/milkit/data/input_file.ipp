#pragma once

#include <milkit/data/input_file.hpp>

namespace milkit::data {

MILKIT_INLINE input_file::input_file(const std::filesystem::path& path) : name_(path.string()) {
  descriptor_ = ::open(name_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // opening a pipe must not hang
  if (descriptor_ < 0) throw io_error(message(name_, ": cannot be opened: ", std::strerror(errno)));
  struct ::stat status = {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw io_error(message(name_, ": is not a regular file"));
  }
  size_ = status.st_size;
}

MILKIT_INLINE bool input_file::is_locked() const {
  const bool locked = ::flock(descriptor_, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (!locked) ::flock(descriptor_, LOCK_UN);
  return locked;
}

MILKIT_INLINE void input_file::read(std::int64_t offset, void* data, std::int64_t bytes) const {
  auto* out = static_cast<char*>(data);
  for (std::int64_t done = 0; done < bytes;) {
    const ::ssize_t got = ::pread(descriptor_, out + done, static_cast<std::size_t>(bytes - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw io_error(message(name_, ": cannot be read: ", std::strerror(errno)));
    if (got == 0) throw io_error(message(name_, ": ends before byte ", offset + bytes));
    done += got;
  }
}

MILKIT_INLINE std::string read_all(const std::filesystem::path& path) {
  const input_file file(path);
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read(0, text.data(), file.size());
  return text;
}

}  // namespace milkit::data
