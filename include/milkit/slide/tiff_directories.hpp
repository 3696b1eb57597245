#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>
#include <vector>

#include <sys/types.h>

#include <milkit/core/macros.hpp>

namespace milkit::slide {

/// What a directory of a TIFF says of its pixels; 0 where it does not say.
struct tiff_directory {
  std::int64_t width = 0, height = 0, tile_width = 0, tile_height = 0;
  std::int64_t compression = 0, photometric = 0, samples = 0, planar = 1;

  /// OpenSlide decodes JPEG of three colours and Aperio's JPEG 2000 itself, and asks libtiff for all others.
  MILKIT_INLINE bool decoded_by_libtiff() const;
};

namespace detail {

/// Numbers of a TIFF or BigTIFF of either byte order, read where they are asked for; 0 beyond the end of the file.
class tiff_numbers {
 public:
  MILKIT_INLINE explicit tiff_numbers(const std::filesystem::path& path);
  std::uint64_t first_directory() const { return first_; }
  bool wide() const { return wide_; }

  MILKIT_INLINE std::uint64_t at(std::uint64_t offset, int bytes) const;

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  bool big_endian_ = false, wide_ = false;
  std::uint64_t first_ = 0;
};

}  // namespace detail

/// The directories of a TIFF in their order, as far as they can be read; none of a file that is no TIFF.
MILKIT_INLINE std::vector<tiff_directory> tiff_directories(const std::filesystem::path& path);

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/tiff_directories.ipp>
#endif
