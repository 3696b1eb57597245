#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <milkit/core/error.hpp>
#include <milkit/core/macros.hpp>
#include <milkit/data/dtype.hpp>

namespace milkit::data {

/// One tensor of a safetensors file. `offset` counts from the start of the data that follow the header.
struct tensor_info {
  std::string name;
  dtype type = dtype::f32;
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

/// `[3, 32, 32]`, for messages; `[]` is a scalar.
MILKIT_INLINE std::string to_string(const std::vector<std::int64_t>& shape);

struct safetensors_header {
  std::vector<tensor_info> tensors;
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::size_t> index;  ///< name to position in `tensors`
};

namespace detail {

/// Reads the header's grammar and nothing more: an object of tensors, each with `dtype`, `shape` and `data_offsets`,
/// and `__metadata__`, an object of strings. It does not recurse, so no input exhausts the stack.
class safetensors_parser {
 public:
  safetensors_parser(std::string_view file, std::string_view text) : file_(file), text_(text) {}

  MILKIT_INLINE safetensors_header parse();

 private:
  MILKIT_INLINE tensor_info tensor(std::string name);

  MILKIT_INLINE dtype type(const std::string& name);

  template <class Member>
  void members(Member&& member) {
    expect('{');
    if (accept('}')) return;
    do {
      skip_space();
      std::string name = string();
      expect(':');
      member(std::move(name));
    } while (accept(','));
    expect('}');
  }

  MILKIT_INLINE std::vector<std::int64_t> numbers();

  MILKIT_INLINE std::int64_t number();

  MILKIT_INLINE std::string string();

  MILKIT_INLINE void escape(std::string& value);

  MILKIT_INLINE std::uint32_t hex4();

  /// The rest of a UTF-8 sequence: the shortest form of a code point that is no surrogate.
  MILKIT_INLINE void utf8(unsigned char first, std::string& value);

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  MILKIT_INLINE bool accept(char c);
  void expect(char c) {
    if (!accept(c)) fail(message("expected ", std::string(1, c)));
  }
  MILKIT_INLINE unsigned char next();

  [[noreturn]] void fail(std::string_view what) const {
    throw io_error(message(file_, ": bad safetensors header, byte ", at_, ": ", what));
  }

  std::string_view file_, text_;
  std::size_t at_ = 0;
};

/// The tensors must fill the data exactly: none beyond the end, no overlap, no hole, each as long as its shape says.
MILKIT_INLINE void check_layout(std::string_view file, const safetensors_header& header, std::int64_t data_bytes);

}  // namespace detail

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/safetensors_header.ipp>
#endif
