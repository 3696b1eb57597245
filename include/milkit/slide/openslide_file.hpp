#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <openslide.h>

#include <milkit/core/error.hpp>

namespace milkit::slide {

/// One OpenSlide file (3.4.1 and 4.x), for any number of threads at once. Every call is followed by
/// `openslide_get_error`; what it says becomes an io_error that names the file.
///
/// An OpenSlide handle that met one bad byte answers nothing more, to no thread. So a failed read is tried again,
/// alone, on a new handle: where that succeeds, another thread's read was at fault and the new handle replaces the old;
/// where it fails, this region is bad, and this read alone throws.
class openslide_file {
 public:
  explicit openslide_file(std::filesystem::path path) : path_(std::move(path)), handle_(open()) {}
  openslide_file(const openslide_file&) = delete;
  openslide_file& operator=(const openslide_file&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// Every property of the file, its vendor's included.
  std::map<std::string, std::string> properties() const {
    const auto handle = current();
    std::map<std::string, std::string> all;
    for (const char* const* name = openslide_get_property_names(handle.get()); name && *name; ++name)
      if (const char* value = openslide_get_property_value(handle.get(), *name)) all.emplace(*name, value);
    check(handle.get(), "reading properties");
    return all;
  }

  std::int32_t level_count() const {
    const auto handle = current();
    const std::int32_t count = openslide_get_level_count(handle.get());
    check(handle.get(), "counting levels");
    return count;
  }

  void level_dimensions(std::int32_t level, std::int64_t& width, std::int64_t& height) const {
    const auto handle = current();
    openslide_get_level_dimensions(handle.get(), level, &width, &height);
    check(handle.get(), message("measuring level ", level));
  }

  double level_downsample(std::int32_t level) const {
    const auto handle = current();
    const double factor = openslide_get_level_downsample(handle.get(), level);
    check(handle.get(), message("measuring level ", level));
    return factor;
  }

  /// `openslide_read_region`: premultiplied ARGB, `width * height` of them, from level-0 pixel (x, y).
  void read(std::uint32_t* argb, std::int64_t x, std::int64_t y, std::int32_t level, std::int64_t width,
            std::int64_t height) const {
    const auto handle = current();
    openslide_read_region(handle.get(), argb, x, y, level, width, height);
    if (!openslide_get_error(handle.get())) return;
    const auto fresh = open();
    openslide_read_region(fresh.get(), argb, x, y, level, width, height);
    check(fresh.get(), message("reading ", width, " x ", height, " pixels of level ", level, " at level-0 pixel (", x,
                               ", ", y, ")"));
    const std::lock_guard lock(mutex_);
    if (handle_ == handle) handle_ = fresh;
  }

 private:
  using shared_handle = std::shared_ptr<openslide_t>;

  shared_handle open() const {
    openslide_t* raw = openslide_open(path_.string().c_str());
    if (!raw) {
      std::error_code ignored;
      const char* reason =
          std::filesystem::exists(path_, ignored) ? "OpenSlide knows no format of this file" : "there is no such file";
      throw io_error(message("slide ", path_.string(), ": ", reason));
    }
    shared_handle opened(raw, openslide_close);
    check(raw, "opening");
    return opened;
  }

  void check(openslide_t* handle, std::string_view doing) const {
    if (const char* error = openslide_get_error(handle))
      throw io_error(message("slide ", path_.string(), ": ", doing, " failed, OpenSlide says: ", error));
  }

  shared_handle current() const {
    const std::lock_guard lock(mutex_);
    return handle_;
  }

  std::filesystem::path path_;
  mutable std::mutex mutex_;
  mutable shared_handle handle_;
};

}  // namespace milkit::slide
