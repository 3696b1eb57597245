#pragma once

#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <milkit/core/macros.hpp>
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

  MILKIT_INLINE tensor_info parse();

 private:
  MILKIT_INLINE dtype type(std::string_view descr) const;

  MILKIT_INLINE void order();

  MILKIT_INLINE std::vector<std::int64_t> extents();

  MILKIT_INLINE std::string_view quoted();

  void skip_space() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  MILKIT_INLINE bool accept(std::string_view word);
  void expect(std::string_view word) {
    if (!accept(word)) fail(message("expected ", word));
  }
  [[noreturn]] void fail(std::string_view what) const {
    throw io_error(message(file_, ": bad npy header, character ", at_, ": ", what));
  }

  std::string_view file_, text_;
  std::size_t at_ = 0;
};

MILKIT_INLINE npy_header read_npy_header(const input_file& file);

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

#if !defined(MILKIT_COMPILED)
#include <milkit/data/npy.ipp>
#endif
