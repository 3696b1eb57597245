#pragma once

#include <doctest/doctest.h>

#include <exception>
#include <fstream>
#include <initializer_list>
#include <string>

#include <milkit/core/error.hpp>
#include <support/paths.hpp>

namespace milkit::test {

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Hands to `read(path)` the file with every one of its first `count` bytes changed in several ways, and every
/// truncation of it. Each must be read, or refused by an io_error that names the file; the number of the refused is
/// returned.
template <class Read>
int refused_corruptions(const std::filesystem::path& path, const std::string& bytes, std::size_t count, Read&& read) {
  int refused = 0;
  const auto attempt = [&](const std::string& changed, const std::string& what) {
    write_bytes(path, changed);
    try {
      read(path);
    } catch (const io_error& error) {
      ++refused;
      if (std::string(error.what()).find(path.string()) == std::string::npos) FAIL_CHECK(what, ": ", error.what());
    } catch (const std::exception& error) {
      FAIL_CHECK(what, ": not an io_error: ", error.what());
    }
  };
  for (std::size_t i = 0; i < count; ++i)
    for (const int value :
         std::initializer_list<int>{0, 0xFF, 0x80, '0', '9', '{', '"', bytes[i] ^ 1, bytes[i] ^ 0x20}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(value);
      if (changed != bytes) attempt(changed, "byte " + std::to_string(i) + " = " + std::to_string(value));
    }
  for (std::size_t length = 0; length < bytes.size(); ++length)
    attempt(bytes.substr(0, length), "cut to " + std::to_string(length));
  return refused;
}

/// The text of the io_error that `call` throws; empty and a failed check where it throws none.
template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (const io_error& error) {
    return error.what();
  } catch (const std::exception& error) {
    FAIL_CHECK("not an io_error: ", error.what());
    return {};
  }
  FAIL_CHECK("nothing was thrown");
  return {};
}

inline bool has(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) FAIL_CHECK("'", text, "' lacks '", part, "'");
  return found;
}

}  // namespace milkit::test
