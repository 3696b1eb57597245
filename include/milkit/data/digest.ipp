#pragma once

#include <milkit/data/digest.hpp>

namespace milkit::data {

MILKIT_INLINE digest& digest::add(const void* data, std::size_t bytes) {
  const auto* from = static_cast<const char*>(data);
  word(bytes);
  for (; bytes >= 8; from += 8, bytes -= 8) word(load(from, 8));
  if (bytes > 0) word(load(from, bytes));
  return *this;
}

MILKIT_INLINE std::string digest::text() const {
  std::string digits;
  for (const std::uint64_t lane : lanes_)
    for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[mixed(lane) >> shift & 15];
  return digits;
}

MILKIT_INLINE std::uint64_t digest::load(const char* from, std::size_t bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, from, bytes);
  return value;
}

MILKIT_INLINE std::uint64_t digest::mixed(std::uint64_t x) {
  x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu;
  x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u;
  return x ^ x >> 33;
}

MILKIT_INLINE void digest::word(std::uint64_t value) {
  lanes_[0] = (lanes_[0] ^ value) * 0x00000100000001B3u;
  lanes_[0] ^= lanes_[0] >> 29;
  lanes_[1] = (lanes_[1] + value) * 0x9E3779B97F4A7C15u;
  lanes_[1] ^= lanes_[1] >> 32;
}

MILKIT_INLINE std::string file_digest(const std::filesystem::path& path) {
  constexpr std::int64_t stretch = std::int64_t{1} << 20, most = 256;
  const input_file file(path);
  digest made;
  made.add(file.size());
  std::vector<char> bytes(static_cast<std::size_t>((std::min)(stretch, file.size())));
  const std::int64_t stretches = (file.size() + stretch - 1) / stretch, count = (std::min)(stretches, most);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t first = stretches <= most ? i * stretch : (file.size() - stretch) * i / (most - 1);
    const std::int64_t size = (std::min)(stretch, file.size() - first);
    file.read(first, bytes.data(), size);
    made.add(bytes.data(), static_cast<std::size_t>(size));
  }
  return made.text();
}

}  // namespace milkit::data
