#pragma once

#include <milkit/data/npy.hpp>

namespace milkit::data::detail {

MILKIT_INLINE tensor_info npy_parser::parse() {
  tensor_info info;
  info.name = "npy";
  bool has_descr = false, has_order = false, has_shape = false;
  expect("{");
  while (!accept("}")) {
    const std::string_view key = quoted();
    expect(":");
    if (key == "descr" && !std::exchange(has_descr, true)) info.type = type(quoted());
    else if (key == "fortran_order" && !std::exchange(has_order, true)) order();
    else if (key == "shape" && !std::exchange(has_shape, true)) info.shape = extents();
    else fail(message("unknown or repeated key '", key, "'"));
    if (!accept(",")) {
      expect("}");
      break;
    }
  }
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  if (at_ != text_.size()) fail("expected nothing but spaces after the dictionary");
  if (!has_descr || !has_order || !has_shape) fail("expected the keys descr, fortran_order and shape");
  return info;
}

MILKIT_INLINE dtype npy_parser::type(std::string_view descr) const {
  if (!descr.empty() && descr[0] == '>') fail("the array is big-endian, expected little-endian");
  if (descr.size() == 3 && (descr[0] == '<' || descr[0] == '|')) {
    for (const dtype each : all_dtypes) {
      if (each == dtype::bf16) continue;
      const dtype_traits traits = traits_of(each);
      const char kind = each == dtype::boolean ? 'b' : traits.floating ? 'f' : traits.negative ? 'i' : 'u';
      if (descr[1] == kind && descr[2] == '0' + traits.bytes) return each;
    }
  }
  fail(message("element type '", descr, "', expected one like '<f4', '<f8', '<i8' or '|u1'"));
}

MILKIT_INLINE void npy_parser::order() {
  if (accept("True")) fail("the array is stored in Fortran order, expected C order (numpy.ascontiguousarray)");
  expect("False");
}

MILKIT_INLINE std::vector<std::int64_t> npy_parser::extents() {
  std::vector<std::int64_t> shape;
  expect("(");
  while (!accept(")")) {
    skip_space();
    std::int64_t extent = -1;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), extent);
    if (error != std::errc() || extent < 0) fail("expected an extent from 0 to 2^63 - 1");
    at_ = static_cast<std::size_t>(end - text_.data());
    shape.push_back(extent);
    if (!accept(",")) {
      expect(")");
      break;
    }
  }
  return shape;
}

MILKIT_INLINE std::string_view npy_parser::quoted() {
  skip_space();
  const char quote = at_ < text_.size() ? text_[at_] : ' ';
  if (quote != '\'' && quote != '"') fail("expected a quoted string");
  const auto end = text_.find(quote, at_ + 1);
  if (end == text_.npos) fail("a string without an end");
  const auto value = text_.substr(at_ + 1, end - at_ - 1);
  at_ = end + 1;
  return value;
}

MILKIT_INLINE bool npy_parser::accept(std::string_view word) {
  skip_space();
  if (text_.substr(at_, word.size()) != word) return false;
  at_ += word.size();
  return true;
}

MILKIT_INLINE npy_header read_npy_header(const input_file& file) {
  unsigned char start[12] = {};
  file.read(0, start, (std::min)(file.size(), std::int64_t{12}));
  if (file.size() < 10 || std::string_view(reinterpret_cast<const char*>(start), 6) != "\x93NUMPY")
    throw io_error(message(file.name(), ": is no npy file"));
  const int version = start[6];
  if (version < 1 || version > 3)
    throw io_error(message(file.name(), ": is an npy file of version ", version, ", expected 1, 2 or 3"));
  const std::int64_t lead = version == 1 ? 10 : 12;
  std::int64_t length = start[8] | start[9] << 8;
  if (version > 1) length |= std::int64_t{start[10]} << 16 | std::int64_t{start[11]} << 24;
  const std::int64_t limit = (std::min)(file.size() - lead, std::int64_t{1} << 16);
  if (length > limit)
    throw io_error(
        message(file.name(), ": the npy header says that it has ", length, " bytes, expected at most ", limit));
  std::string text(static_cast<std::size_t>(length), '\0');
  file.read(lead, text.data(), length);

  safetensors_header checked;
  checked.tensors.push_back(npy_parser(file.name(), text).parse());
  checked.tensors[0].bytes = file.size() - lead - length;
  check_layout(file.name(), checked, checked.tensors[0].bytes);
  return {checked.tensors[0], lead + length};
}

}  // namespace milkit::data::detail
