#pragma once

#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <milkit/data/safetensors.hpp>

namespace milkit::data {

namespace detail {

struct npy_header {
  tensor_info info;
  std::int64_t data_start = 0;
};

/// The header of a NumPy file is a Python dictionary of three keys; this reads those three and refuses everything else.
class npy_parser {
 public:
  npy_parser(std::string_view file, std::string_view text) : file_(file), text_(text) {}

  tensor_info parse() {
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

 private:
  dtype type(std::string_view descr) const {
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

  void order() {
    if (accept("True")) fail("the array is stored in Fortran order, expected C order (numpy.ascontiguousarray)");
    expect("False");
  }

  std::vector<std::int64_t> extents() {
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

  std::string_view quoted() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : ' ';
    if (quote != '\'' && quote != '"') fail("expected a quoted string");
    const auto end = text_.find(quote, at_ + 1);
    if (end == text_.npos) fail("a string without an end");
    const auto value = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return value;
  }

  void skip_space() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool accept(std::string_view word) {
    skip_space();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  void expect(std::string_view word) {
    if (!accept(word)) fail(message("expected ", word));
  }
  [[noreturn]] void fail(std::string_view what) const {
    throw io_error(message(file_, ": bad npy header, character ", at_, ": ", what));
  }

  std::string_view file_, text_;
  std::size_t at_ = 0;
};

inline npy_header read_npy_header(const input_file& file) {
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

}  // namespace detail

/// Reads a NumPy `.npy` file of any rank: little-endian, C order, any element type of `dtype`, converted as `how`
/// allows. Errors (a header that is none, Fortran order, a file shorter or longer than its shape says): io_error naming
/// the file.
template <storable T>
tensor_values<T> read_npy(const std::filesystem::path& path, conversion how = conversion::exact) {
  const input_file file(path);
  const auto header = detail::read_npy_header(file);
  detail::expect_convertible<T>(file, header.info, how);
  tensor_values<T> array{header.info.shape, {}};
  array.values.resize(static_cast<std::size_t>(header.info.bytes / traits_of(header.info.type).bytes));
  detail::read_elements(file, header.data_start, header.info, 0, static_cast<std::int64_t>(array.values.size()),
                        array.values.data());
  return array;
}

/// The same for a known rank; another one is an io_error.
template <storable T, int Rank>
tensor<T, Rank> read_npy(const std::filesystem::path& path, conversion how = conversion::exact) {
  const input_file file(path);
  const auto header = detail::read_npy_header(file);
  detail::expect_convertible<T>(file, header.info, how);
  tensor<T, Rank> array(detail::shape_of<Rank>(file, header.info));
  detail::read_elements(file, header.data_start, header.info, 0, array.size(), array.data());
  return array;
}

/// Writes a view as `.npy` version 1.0, atomically.
template <class T, int Rank>
requires storable<std::remove_const_t<T>>
void write_npy(const std::filesystem::path& path, view<T, Rank> array) {
  const dtype_traits traits = traits_of(dtype_of<std::remove_const_t<T>>());
  const char kind = traits.floating ? 'f' : traits.negative ? 'i' : 'u';
  std::string text = message("{'descr': '", traits.bytes == 1 ? "|" : "<", std::string(1, kind), traits.bytes,
                             "', 'fortran_order': False, 'shape': (");
  for (int i = 0; i < Rank; ++i) text += std::to_string(array.extent(i)) + (i + 1 < Rank ? ", " : Rank == 1 ? "," : "");
  text += "), }";
  text.append((alignment - (10 + text.size() + 1) % alignment) % alignment, ' ');
  text += '\n';
  const char length[] = {static_cast<char>(text.size() & 0xFF), static_cast<char>(text.size() >> 8)};
  atomic_file file(path);
  file.write(std::string_view("\x93NUMPY\x01\x00", 8));
  file.write(length, 2);
  file.write(text);
  for (std::int64_t i = 0; i < array.rows(); ++i)
    file.write(array.row(i), static_cast<std::size_t>(array.row_size()) * sizeof(T));
  file.commit();
}

}  // namespace milkit::data
