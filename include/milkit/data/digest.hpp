#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/input_file.hpp>

namespace milkit::data {

/// A number of 128 bits that tells contents apart; not against someone who wants two to agree. Each lane is FNV-1a over
/// words of 8 bytes, mixed once more; where texts end is part of it, so that "a", "bc" and "ab", "c" differ.
class digest {
 public:
  MILKIT_INLINE digest& add(const void* data, std::size_t bytes);
  digest& add(std::string_view text) { return add(text.data(), text.size()); }
  digest& add(std::int64_t number) { return add(&number, sizeof number); }

  /// 32 hexadecimal digits.
  MILKIT_INLINE std::string text() const;

 private:
  MILKIT_INLINE static std::uint64_t load(const char* from, std::size_t bytes);
  MILKIT_INLINE static std::uint64_t mixed(std::uint64_t x);
  MILKIT_INLINE void word(std::uint64_t value);

  std::uint64_t lanes_[2] = {0xCBF29CE484222325u, 0x6A09E667F3BCC908u};
};

/// The digest of a file's size and content; of a file above 256 MiB, of 256 stretches of 1 MiB that lie evenly over it,
/// the first and the last among them. Errors: io_error.
MILKIT_INLINE std::string file_digest(const std::filesystem::path& path);

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/digest.ipp>
#endif
