#pragma once

#include <milkit/data/safetensors_header.hpp>

namespace milkit::data {

MILKIT_INLINE std::string to_string(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace milkit::data

namespace milkit::data::detail {

MILKIT_INLINE safetensors_header safetensors_parser::parse() {
  safetensors_header header;
  bool metadata_seen = false;
  if (text_.empty() || text_[0] != '{') fail("expected an object");
  members([&](std::string name) {
    if (name == "__metadata__") {
      if (std::exchange(metadata_seen, true)) fail("__metadata__ occurs twice");
      members([&](std::string key) {
        if (!header.metadata.emplace(key, string()).second) fail(message("metadata '", key, "' occurs twice"));
      });
      return;
    }
    if (!header.index.emplace(name, header.tensors.size()).second) fail(message("tensor '", name, "' occurs twice"));
    header.tensors.push_back(tensor(std::move(name)));
  });
  skip_space();
  if (at_ != text_.size()) fail("expected nothing but spaces after the object");
  return header;
}

MILKIT_INLINE tensor_info safetensors_parser::tensor(std::string name) {
  tensor_info info;
  info.name = std::move(name);
  bool has_dtype = false, has_shape = false, has_offsets = false;
  members([&](const std::string& key) {
    if (key == "dtype" && !std::exchange(has_dtype, true)) {
      info.type = type(string());
    } else if (key == "shape" && !std::exchange(has_shape, true)) {
      info.shape = numbers();
    } else if (key == "data_offsets" && !std::exchange(has_offsets, true)) {
      const auto offsets = numbers();
      if (offsets.size() != 2 || offsets[0] > offsets[1])
        fail(message("tensor '", info.name, "' has data_offsets ", to_string(offsets), ", expected [begin, end]"));
      info.offset = offsets[0];
      info.bytes = offsets[1] - offsets[0];
    } else {
      fail(message("tensor '", info.name, "' has the unknown or repeated key '", key, "'"));
    }
  });
  if (!has_dtype || !has_shape || !has_offsets)
    fail(message("tensor '", info.name, "' lacks ", !has_dtype ? "dtype" : !has_shape ? "shape" : "data_offsets"));
  return info;
}

MILKIT_INLINE dtype safetensors_parser::type(const std::string& name) {
  for (const dtype each : all_dtypes)
    if (traits_of(each).name == name) return each;
  fail(message("unknown dtype '", name, "'"));
}

MILKIT_INLINE std::vector<std::int64_t> safetensors_parser::numbers() {
  std::vector<std::int64_t> values;
  expect('[');
  if (accept(']')) return values;
  do values.push_back(number());
  while (accept(','));
  expect(']');
  return values;
}

MILKIT_INLINE std::int64_t safetensors_parser::number() {
  skip_space();
  const std::size_t first = at_;
  std::int64_t value = 0;
  for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
    const std::int64_t digit = text_[at_] - '0';
    if (value > ((std::numeric_limits<std::int64_t>::max)() - digit) / 10) fail("expected a number below 2^63");
    value = value * 10 + digit;
  }
  if (at_ == first) fail("expected a whole number");
  if (text_[first] == '0' && at_ - first > 1) fail("expected a number without leading zeros");
  return value;
}

MILKIT_INLINE std::string safetensors_parser::string() {
  expect('"');
  std::string value;
  for (;;) {
    const unsigned char c = next();
    if (c == '"') return value;
    if (c < 0x20) fail("expected no control character in a string");
    if (c == '\\') escape(value);
    else if (c < 0x80) value += static_cast<char>(c);
    else utf8(c, value);
  }
}

MILKIT_INLINE void safetensors_parser::escape(std::string& value) {
  const unsigned char c = next();
  constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  if (const auto i = names.find(static_cast<char>(c)); i != names.npos) {
    value += meanings[i];
    return;
  }
  if (c != 'u') fail("unknown escape in a string");
  std::uint32_t code = hex4();
  if (code >= 0xDC00 && code <= 0xDFFF) fail("a second surrogate without a first one");
  if (code >= 0xD800 && code <= 0xDBFF) {
    if (next() != '\\' || next() != 'u') fail("a first surrogate without a second one");
    const std::uint32_t second = hex4();
    if (second < 0xDC00 || second > 0xDFFF) fail("a first surrogate without a second one");
    code = 0x10000 + ((code - 0xD800) << 10 | (second - 0xDC00));
  }
  const auto put = [&](std::uint32_t byte) { value += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) put(0xE0 | code >> 12);
    else put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

MILKIT_INLINE std::uint32_t safetensors_parser::hex4() {
  std::uint32_t code = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned char c = next();
    const bool digit = c >= '0' && c <= '9', letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'f';
    if (!digit && !letter) fail("expected four hexadecimal digits after \\u");
    code = code << 4 | static_cast<std::uint32_t>(digit ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return code;
}

MILKIT_INLINE void safetensors_parser::utf8(unsigned char first, std::string& value) {
  const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  std::uint32_t code = first & (0x3Fu >> more);
  value += static_cast<char>(first);
  for (int i = 0; i < more; ++i) {
    const unsigned char c = next();
    if ((c & 0xC0) != 0x80) fail("text that is not UTF-8");
    code = code << 6 | (c & 0x3Fu);
    value += static_cast<char>(c);
  }
  constexpr std::uint32_t least[] = {0x80, 0x800, 0x10000};
  if (first < 0xC0 || first > 0xF4 || code < least[more - 1] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
    fail("text that is not UTF-8");
}

MILKIT_INLINE bool safetensors_parser::accept(char c) {
  skip_space();
  if (at_ == text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

MILKIT_INLINE unsigned char safetensors_parser::next() {
  if (at_ == text_.size()) fail("a string without an end");
  return static_cast<unsigned char>(text_[at_++]);
}

MILKIT_INLINE void check_layout(std::string_view file, const safetensors_header& header, std::int64_t data_bytes) {
  std::vector<const tensor_info*> order;
  for (const auto& each : header.tensors) {
    const bool empty = std::find(each.shape.begin(), each.shape.end(), 0) != each.shape.end();
    std::int64_t count = 1, most = 8;  // zeros count as ones, and elements as the widest that they may be read as
    for (const std::int64_t extent : each.shape) {
      if (__builtin_mul_overflow(most, (std::max)(extent, std::int64_t{1}), &most))
        throw io_error(
            message(file, ": tensor '", each.name, "' of shape ", to_string(each.shape), " has more than 2^63 bytes"));
      count *= (std::max)(extent, std::int64_t{1});
    }
    const std::int64_t bytes = empty ? 0 : count * traits_of(each.type).bytes;
    if (bytes != each.bytes)
      throw io_error(message(file, ": tensor '", each.name, "' occupies ", each.bytes, " bytes, expected ", bytes,
                             " for ", traits_of(each.type).name, " ", to_string(each.shape)));
    order.push_back(&each);
  }
  std::sort(order.begin(), order.end(), [](const tensor_info* a, const tensor_info* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  std::int64_t end = 0;
  for (const auto* each : order) {
    if (each->offset != end)
      throw io_error(message(file, ": tensor '", each->name, "' begins at byte ", each->offset,
                             " of the data, expected ", end,
                             each->offset < end ? " (it overlaps another one)" : " (there is a hole before it)"));
    end += each->bytes;
  }
  if (end != data_bytes)
    throw io_error(
        message(file, ": has ", data_bytes, " bytes of data, expected ", end, " for the tensors of its header"));
}

}  // namespace milkit::data::detail
