#pragma once

#include <milkit/slide/tiff_directories.hpp>

namespace milkit::slide {

MILKIT_INLINE bool tiff_directory::decoded_by_libtiff() const {
  const bool jpeg = compression == 7 && planar == 1 && (photometric == 2 || photometric == 6) && samples == 3;
  return !jpeg && compression != 33003 && compression != 33005;
}

}  // namespace milkit::slide

namespace milkit::slide::detail {

MILKIT_INLINE tiff_numbers::tiff_numbers(const std::filesystem::path& path)
    : file_(std::fopen(path.c_str(), "rb"), &std::fclose) {
  if (!file_) return;
  const std::uint64_t order = at(0, 2);
  big_endian_ = order == 0x4D4D;
  const std::uint64_t version = order == 0x4949 || big_endian_ ? at(2, 2) : 0;
  wide_ = version == 43;
  first_ = version == 42 ? at(4, 4) : wide_ ? at(8, 8) : 0;
}

MILKIT_INLINE std::uint64_t tiff_numbers::at(std::uint64_t offset, int bytes) const {
  unsigned char read[8] = {};
  if (offset > (std::uint64_t{1} << 62) || ::fseeko(file_.get(), static_cast<::off_t>(offset), SEEK_SET) != 0 ||
      std::fread(read, 1, static_cast<std::size_t>(bytes), file_.get()) != static_cast<std::size_t>(bytes))
    return 0;
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | read[big_endian_ ? i : bytes - 1 - i];
  return value;
}

}  // namespace milkit::slide::detail

namespace milkit::slide {

MILKIT_INLINE std::vector<tiff_directory> tiff_directories(const std::filesystem::path& path) {
  std::vector<tiff_directory> found;
  const detail::tiff_numbers file(path);
  std::set<std::uint64_t> seen;
  const int count_bytes = file.wide() ? 8 : 2, offset_bytes = file.wide() ? 8 : 4;
  const std::uint64_t entry_bytes = file.wide() ? 20 : 12;
  for (std::uint64_t where = file.first_directory(); where != 0 && seen.insert(where).second && seen.size() < 1000;) {
    const std::uint64_t entries = file.at(where, count_bytes);
    if (entries == 0 || entries > 4096) break;
    tiff_directory one;
    const std::uint64_t first = where + static_cast<std::uint64_t>(count_bytes);
    for (std::uint64_t entry = first; entry < first + entries * entry_bytes; entry += entry_bytes) {
      const std::uint64_t type = file.at(entry + 2, 2), value = entry + (file.wide() ? 12 : 8);
      const auto number = static_cast<std::int64_t>(type == 3 ? file.at(value, 2) : type == 4 ? file.at(value, 4) : 0);
      switch (file.at(entry, 2)) {
        case 256:
          one.width = number;
          break;
        case 257:
          one.height = number;
          break;
        case 259:
          one.compression = number;
          break;
        case 262:
          one.photometric = number;
          break;
        case 277:
          one.samples = number;
          break;
        case 284:
          one.planar = number;
          break;
        case 322:
          one.tile_width = number;
          break;
        case 323:
          one.tile_height = number;
          break;
        default:
          break;
      }
    }
    found.push_back(one);
    where = file.at(first + entries * entry_bytes, offset_bytes);
  }
  return found;
}

}  // namespace milkit::slide
