#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <hdf5.h>

#include <milkit/core/macros.hpp>
#include <milkit/core/tensor.hpp>
#include <milkit/data/digest.hpp>
#include <milkit/data/h5_handle.hpp>
#include <milkit/data/input_file.hpp>

namespace milkit::data::detail {

/// Whether a file ends with the digest of what is before it: yes, no, or not at all (no file of ours, or one that another
/// program added to).
enum class h5_digest { none, right, wrong };
MILKIT_INLINE h5_digest check_h5_digest(const std::filesystem::path& path);

/// Reads data sets of numbers. Nothing is taken at its word: extents are bounded by the bytes that the file has, and
/// what would read other files, or with a filter that is not there, is refused.
class h5_reader {
 public:
  explicit h5_reader(const std::filesystem::path& path)
      : name_(path.string()),
        bytes_(expect_h5(path)),
        file_(H5Fopen(name_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose) {
    if (!file_.ok()) throw io_error(message(name_, ": is a damaged HDF5 file, or one that is too new: ", h5_reason()));
  }
  const std::string& name() const { return name_; }
  bool has(const std::string& link) const { return H5Lexists(file_, link.c_str(), H5P_DEFAULT) > 0; }

  /// Names of the root's links, in order of their names.
  MILKIT_INLINE std::vector<std::string> names() const;

  /// Text attributes of the root or a group.
  MILKIT_INLINE std::map<std::string, std::string> texts(const std::string& where) const;

  /// The extents of a data set of numbers, checked.
  MILKIT_INLINE std::vector<std::int64_t> extents(const std::string& link) const;

  /// A data set of numbers, converted to T: its extents and values. Errors: io_error for a number that T does not hold:
  /// of coordinates a fraction, NaN and what lies beyond 64 bits.
  template <class T>
  std::pair<std::vector<std::int64_t>, std::vector<T>> values(const std::string& link) const {
    const h5_handle set = open(link);
    std::vector<std::int64_t> extents = extents_of(set, link);
    std::size_t count = 1;
    for (const std::int64_t each : extents) count *= static_cast<std::size_t>(each);
    if constexpr (std::is_integral_v<T>) {
      const h5_handle type(H5Dget_type(set), H5Tclose);
      const bool real = H5Tget_class(type) == H5T_FLOAT;
      if (real) return {std::move(extents), whole_numbers<double>(set, link, count)};
      if (H5Tget_sign(type) == H5T_SGN_NONE)
        return {std::move(extents), whole_numbers<std::uint64_t>(set, link, count)};
    }
    return {std::move(extents), read<T>(set, link, count)};
  }
  template <class T>
  tensor<T, 2> matrix(const std::string& link) const {
    const auto [extents, all] = values<T>(link);
    if (extents.size() != 2)
      throw io_error(message(name_, ": data set '", link, "' has ", extents.size(), " extents, expected 2"));
    tensor<T, 2> made({extents[0], extents[1]});
    std::copy(all.begin(), all.end(), made.data());
    return made;
  }

 private:
  /// The size of a file that can be opened and has the signature of HDF5, and that no other program has locked.
  MILKIT_INLINE static std::int64_t expect_h5(const std::filesystem::path& path);

  MILKIT_INLINE h5_handle open(const std::string& link) const;

  MILKIT_INLINE std::vector<std::int64_t> extents_of(const h5_handle& set, const std::string& link) const;

  /// Whether the filters shrink numbers. Errors: one that this HDF5 lacks, by its name and number, and parameters that
  /// no writer gives: HDF5 believes them, and reads other numbers or beyond its memory.
  template <class Refuse>
  static bool expect_filters(const h5_handle& properties, std::size_t width, Refuse&& refuse) {
    const int filters = H5Pget_nfilters(properties);
    bool shrinks = false;
    for (int i = 0; i < filters; ++i) {
      unsigned flags = 0, parameters[16] = {}, config = 0;
      std::size_t count = 16;
      char name[64] = {};
      const H5Z_filter_t filter =
          H5Pget_filter2(properties, static_cast<unsigned>(i), &flags, &count, parameters, sizeof name, name, &config);
      const char* known = filter == 32000   ? "lzf"
                          : filter == 32001 ? "blosc"
                          : filter == 32004 ? "lz4"
                          : filter == 32015 ? "zstd"
                                            : "";
      if (filter < 0 || H5Zfilter_avail(filter) <= 0)
        refuse(message("needs the filter ", name[0] ? name : known, " (", filter, "), which this ", h5_version(),
                       " does not have; write it anew with gzip or without compression"));
      if ((filter == H5Z_FILTER_SHUFFLE && (count < 1 || parameters[0] != width)) ||
          (filter == H5Z_FILTER_DEFLATE && (count < 1 || parameters[0] > 9)))
        refuse("is damaged: its filters have parameters that no program writes");
      shrinks = shrinks || (filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32);
    }
    return shrinks;
  }

  /// Every chunk is there, within the file, and where filters were left out of it as long as its numbers.
  template <class Refuse>
  void expect_chunks(const h5_handle& set, const h5_handle& space, const h5_handle& properties, std::size_t width,
                     const std::vector<hsize_t>& sizes, Refuse&& refuse) const {
    std::vector<hsize_t> chunk(sizes.size());
    expect(H5Pget_chunk(properties, static_cast<int>(chunk.size()), chunk.data()) >= 0, "its chunks");
    hsize_t wanted = 1, chunk_bytes = width, there = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (chunk[i] == 0 || chunk[i] > (hsize_t{1} << 32)) refuse("is damaged: its chunks have no size");
      wanted *= (sizes[i] + chunk[i] - 1) / chunk[i], chunk_bytes *= chunk[i];
    }
    if (chunk_bytes > static_cast<hsize_t>(bytes_) * 1200)
      refuse("says that its chunks are larger than the file can hold");
    if (H5Dget_num_chunks(set, space, &there) < 0 || there < wanted)
      refuse(message("is damaged, or was never written to its end: it has ", there, " of ", wanted, " chunks"));
    if (H5Pget_nfilters(properties) == 0) return;
    std::vector<hsize_t> at(sizes.size(), 0);
    for (hsize_t i = 0; i < wanted; ++i) {
      unsigned mask = 0;
      haddr_t address = 0;
      hsize_t size = 0;
      if (H5Dget_chunk_info_by_coord(set, at.data(), &mask, &address, &size) < 0 || address == HADDR_UNDEF ||
          size > static_cast<hsize_t>(bytes_) || address > static_cast<haddr_t>(bytes_) - size ||
          (mask != 0 && size != chunk_bytes && size != chunk_bytes + 4))
        refuse("is damaged: a chunk does not lie in the file as it is described");
      for (std::size_t d = sizes.size(); d-- > 0;) {
        at[d] += chunk[d];
        if (at[d] < sizes[d]) break;
        at[d] = 0;
      }
    }
  }

  template <class T>
  std::vector<T> read(const h5_handle& set, const std::string& link, std::size_t count) const {
    std::vector<T> all(count);
    expect(count == 0 || H5Dread(set, h5_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()) >= 0, link);
    return all;
  }

  /// Numbers stored as T, as whole numbers of 64 bits.
  template <class T>
  std::vector<std::int64_t> whole_numbers(const h5_handle& set, const std::string& link, std::size_t count) const {
    std::vector<std::int64_t> whole;
    whole.reserve(count);
    for (const T each : read<T>(set, link, count)) {
      bool fits = false;
      if constexpr (std::is_same_v<T, double>) fits = std::floor(each) == each && each >= -0x1p63 && each < 0x1p63;
      else fits = each <= static_cast<T>((std::numeric_limits<std::int64_t>::max)());
      if (!fits)
        throw io_error(message(name_, ": data set '", link, "' has the value ", each, " at place ", whole.size(),
                               ", expected whole numbers of 64 bits"));
      whole.push_back(static_cast<std::int64_t>(each));
    }
    return whole;
  }

  MILKIT_INLINE void expect(bool good, const std::string& what) const;
  std::string name_;
  std::int64_t bytes_;
  h5_handle file_;
};

}  // namespace milkit::data::detail

#if !defined(MILKIT_COMPILED)
#include <milkit/data/h5_reader.ipp>
#endif
