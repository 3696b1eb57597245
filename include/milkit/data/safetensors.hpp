#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/core/tensor.hpp>
#include <milkit/data/atomic_file.hpp>
#include <milkit/data/input_file.hpp>
#include <milkit/data/safetensors_header.hpp>

namespace milkit::data {

/// What a reader may do where the stored element type is not the one asked for. `exact`: convert where every value
/// survives (F16 to float, I32 to double). `nearest`: also round (F64 to float, I64 to double). Never: a floating
/// number to an integer, or an integer to a type that cannot hold its value.
enum class conversion { exact, nearest };

/// A tensor whose rank is known only at run time, row-major.
template <class T>
struct tensor_values {
  std::vector<std::int64_t> shape;
  std::vector<T> values;
};

namespace detail {

/// Elements `first` to `first + count - 1` of a stored tensor, converted through a small buffer on the stack.
template <storable T>
void read_elements(const input_file& file, std::int64_t data_start, const tensor_info& info, std::int64_t first,
                   std::int64_t count, T* to) {
  const std::int64_t width = traits_of(info.type).bytes, begin = data_start + info.offset + first * width;
  if (count == 0) return;
  if (info.type == dtype_of<T>()) return file.read(begin, to, count * width);
  char buffer[1 << 15];
  const std::int64_t step = static_cast<std::int64_t>(sizeof(buffer)) / width;
  for (std::int64_t done = 0; done < count; done += step) {
    const std::int64_t part = (std::min)(step, count - done);
    file.read(begin + done * width, buffer, part * width);
    if (!convert(info.type, buffer, part, to + done))
      throw io_error(message(file.name(), ": tensor '", info.name, "' holds a ", traits_of(info.type).name,
                             " number that is outside ", traits_of(dtype_of<T>()).name));
  }
}

template <storable T>
void expect_convertible(const input_file& file, const tensor_info& info, conversion how) {
  const dtype want = dtype_of<T>();
  const bool to_integer = traits_of(info.type).floating && !traits_of(want).floating;
  if (converts_exactly(info.type, want) || (how == conversion::nearest && !to_integer)) return;
  throw io_error(message(file.name(), ": tensor '", info.name, "' is ", traits_of(info.type).name, ", expected ",
                         traits_of(want).name, " or what converts to it exactly"));
}

template <int Rank>
shape<Rank> shape_of(const input_file& file, const tensor_info& info) {
  if (info.shape.size() != static_cast<std::size_t>(Rank))
    throw io_error(message(file.name(), ": tensor '", info.name, "' has shape ", to_string(info.shape), ", expected ",
                           Rank, Rank == 1 ? " dimension" : " dimensions"));
  shape<Rank> extents;
  for (int i = 0; i < Rank; ++i) extents[i] = info.shape[static_cast<std::size_t>(i)];
  return extents;
}

}  // namespace detail

/// Rows of a stored `[rows, cols]` tensor, read as they are asked for: for bags larger than memory. Reading allocates
/// nothing and may be done by many threads at once.
template <storable T>
class safetensors_rows {
 public:
  safetensors_rows(std::shared_ptr<const input_file> file, std::int64_t data_start, tensor_info info, conversion how)
      : file_(std::move(file)), data_start_(data_start), info_(std::move(info)) {
    if (info_.shape.size() != 2)
      throw io_error(message(file_->name(), ": tensor '", info_.name, "' has shape ", to_string(info_.shape),
                             ", expected [rows, cols]"));
    detail::expect_convertible<T>(*file_, info_, how);
  }

  std::int64_t rows() const { return info_.shape[0]; }
  std::int64_t cols() const { return info_.shape[1]; }

  /// Fills `out` [count, cols] with the rows from `first`. Rows outside the tensor: value_error; a width other than
  /// `cols`: shape_error; a file that shrank meanwhile: io_error.
  void read(std::int64_t first, matrix_view<T> out) const {
    const std::int64_t count = out.rows();
    if (count == 0) return;
    expect_extent("milkit::data::safetensors_rows", "out.cols", out.cols(), cols());
    expect_value(first >= 0 && first <= rows() - count, "milkit::data::safetensors_rows", "rows ", first, " to ",
                 first + count - 1, " were asked of tensor '", info_.name, "' in ", file_->name(),
                 ", expected rows of 0 to ", rows() - 1);
    if (out.contiguous())
      return detail::read_elements(*file_, data_start_, info_, first * cols(), count * cols(), out.data());
    for (std::int64_t i = 0; i < count; ++i)
      detail::read_elements(*file_, data_start_, info_, (first + i) * cols(), cols(), out.row(i));
  }

 private:
  std::shared_ptr<const input_file> file_;
  std::int64_t data_start_;
  tensor_info info_;
};

/// Reads a safetensors file. Opening it reads and checks the whole header, so that everything after trusts it: the
/// header must lie within the file and below 100 MB, hold no name twice, and its tensors must fill the rest of the file
/// exactly. Errors: io_error naming the file, the tensor, what was found and what was expected. Reading is const and
/// thread-safe.
class safetensors_reader {
 public:
  static constexpr std::int64_t max_header_bytes = 100'000'000;

  MILKIT_INLINE explicit safetensors_reader(const std::filesystem::path& path);

  /// The file's path as it was given.
  const std::string& name() const { return file_->name(); }
  /// In the order of the header.
  const std::vector<tensor_info>& tensors() const { return header_.tensors; }
  MILKIT_INLINE std::vector<std::string> names() const;
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  bool contains(const std::string& tensor) const { return header_.index.count(tensor) != 0; }

  MILKIT_INLINE const tensor_info& info(const std::string& tensor) const;

  /// All values and the shape of a tensor of any rank.
  template <storable T>
  tensor_values<T> read(const std::string& tensor, conversion how = conversion::exact) const {
    const tensor_info& found = info(tensor);
    detail::expect_convertible<T>(*file_, found, how);
    std::vector<T> values(static_cast<std::size_t>(found.bytes / traits_of(found.type).bytes));
    detail::read_elements(*file_, data_start_, found, 0, static_cast<std::int64_t>(values.size()), values.data());
    return {found.shape, std::move(values)};
  }

  /// A tensor of this rank: `read<float, 2>("features")`.
  template <storable T, int Rank>
  tensor<T, Rank> read(const std::string& tensor, conversion how = conversion::exact) const {
    const tensor_info& found = info(tensor);
    detail::expect_convertible<T>(*file_, found, how);
    milkit::tensor<T, Rank> values(detail::shape_of<Rank>(*file_, found));
    detail::read_elements(*file_, data_start_, found, 0, values.size(), values.data());
    return values;
  }

  /// Fills a view of exactly the stored shape (weights of a network); allocates nothing.
  template <storable T, int Rank>
  void read_into(const std::string& tensor, view<T, Rank> out, conversion how = conversion::exact) const {
    const tensor_info& found = info(tensor);
    const std::vector<std::int64_t> want(out.shape().extent, out.shape().extent + Rank);
    if (found.shape != want)
      throw io_error(message(name(), ": tensor '", tensor, "' has shape ", to_string(found.shape), ", expected ",
                             to_string(want)));
    detail::expect_convertible<T>(*file_, found, how);
    if (out.contiguous()) return detail::read_elements(*file_, data_start_, found, 0, out.size(), out.data());
    for (std::int64_t i = 0; i < out.rows(); ++i)
      detail::read_elements(*file_, data_start_, found, i * out.row_size(), out.row_size(), out.row(i));
  }

  /// A `[rows, cols]` tensor to be read in chunks of rows; it keeps the file open by itself.
  template <storable T>
  safetensors_rows<T> rows(const std::string& tensor, conversion how = conversion::exact) const {
    return {file_, data_start_, info(tensor), how};
  }

 private:
  std::shared_ptr<const input_file> file_;
  safetensors_header header_;
  std::int64_t data_start_ = 0;
};

/// Collects tensors and writes them as one safetensors file, atomically (`atomic_file`). It keeps views: what they see
/// must live until `write`. The format allows no gap between tensors, so that they cannot each be aligned to a cache
/// line; the data start at a multiple of 64 bytes, and wide elements come first, so that each tensor is aligned to its
/// elements.
///
///     safetensors_writer file;
///     file.set_metadata("model", "abmil");
///     file.add("weight", weight.view());
///     file.write("weights.safetensors");
class safetensors_writer {
 public:
  void set_metadata(const std::string& key, const std::string& value) { metadata_[key] = value; }

  /// A view of any rank. Throws value_error where the name is taken.
  template <class T, int Rank>
  requires storable<std::remove_const_t<T>>
  void add(const std::string& name, view<T, Rank> values) {
    const std::int64_t width = sizeof(T);
    add_rows(name, dtype_of<std::remove_const_t<T>>(), {values.shape().extent, values.shape().extent + Rank},
             values.data(), values.rows(), values.row_size() * width, values.stride() * width);
  }

  /// Contiguous bytes of any element type (a F16 that was packed elsewhere, a scalar with shape []).
  MILKIT_INLINE void add_bytes(const std::string& name, dtype type, const std::vector<std::int64_t>& shape,
                               const void* data);

  MILKIT_INLINE void write(const std::filesystem::path& path) const;

 private:
  struct entry {
    tensor_info info;
    const char* data;
    std::int64_t rows, row_bytes, stride_bytes;
  };

  MILKIT_INLINE void add_rows(const std::string& name, dtype type, std::vector<std::int64_t> shape, const void* data,
                              std::int64_t rows, std::int64_t row_bytes, std::int64_t stride_bytes);

  MILKIT_INLINE static std::string quoted(const std::string& text);

  std::map<std::string, std::string> metadata_;
  std::vector<entry> entries_;
};

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/safetensors.ipp>
#endif
