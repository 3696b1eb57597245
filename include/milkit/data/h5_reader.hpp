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

#include <milkit/core/tensor.hpp>
#include <milkit/data/digest.hpp>
#include <milkit/data/h5_handle.hpp>
#include <milkit/data/input_file.hpp>

namespace milkit::data::detail {

/// Whether a file ends with the digest of what is before it: yes, no, or not at all (no file of ours, or one that another
/// program added to).
enum class h5_digest { none, right, wrong };
inline h5_digest check_h5_digest(const std::filesystem::path& path) {
  const input_file file(path);
  const auto trailer_bytes = static_cast<std::int64_t>(h5_trailer_bytes);
  if (file.size() < trailer_bytes) return h5_digest::none;
  std::string trailer(h5_trailer_bytes, '\0');
  file.read(file.size() - trailer_bytes, trailer.data(), trailer_bytes);
  for (std::size_t left = 4; left < h5_trailer_bytes; ++left) {  // a part of one: the file is cut off
    const std::string_view end = std::string_view(trailer).substr(h5_trailer_bytes - left);
    if (end.substr(0, h5_trailer.size()) == h5_trailer.substr(0, end.size())) return h5_digest::wrong;
  }
  if (!trailer.starts_with(h5_trailer)) return h5_digest::none;
  const std::string all = read_all(path);
  const std::string found = digest().add(all.data(), all.size() - h5_trailer_bytes).text();
  return trailer == message(h5_trailer, found, "\n") ? h5_digest::right : h5_digest::wrong;
}

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
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    const auto add = [](hid_t, const char* text, const H5L_info_t*, void* to) -> herr_t {
      static_cast<std::vector<std::string>*>(to)->emplace_back(text);
      return 0;
    };
    expect(H5Literate(file_, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, add, &all) >= 0, "its root");
    std::sort(all.begin(), all.end());
    return all;
  }

  /// Text attributes of the root or a group.
  std::map<std::string, std::string> texts(const std::string& where) const {
    const h5_handle object(H5Oopen(file_, where.c_str(), H5P_DEFAULT), H5Oclose);
    expect(object.ok(), where);
    std::map<std::string, std::string> all;
    const auto add = [](hid_t holder, const char* key, const H5A_info_t*, void* to) -> herr_t {
      const h5_handle attribute(H5Aopen(holder, key, H5P_DEFAULT), H5Aclose);
      if (!attribute.ok()) return -1;
      const h5_handle type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
      if (!type.ok() || !space.ok()) return -1;
      const std::size_t size = H5Tget_size(type);
      if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0 || size == 0 || size > 65536 ||
          H5Sget_simple_extent_npoints(space) != 1)
        return 0;  // no single text of ours
      std::string value(size, '\0');
      if (H5Aread(attribute, type, value.data()) < 0) return -1;
      value.resize((std::min)(value.find('\0'), value.size()));
      (*static_cast<std::map<std::string, std::string>*>(to))[key] = value;
      return 0;
    };
    expect(H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, add, &all) >= 0, where);
    return all;
  }

  /// The extents of a data set of numbers, checked.
  std::vector<std::int64_t> extents(const std::string& link) const {
    const h5_handle set = open(link);
    return extents_of(set, link);
  }

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
  static std::int64_t expect_h5(const std::filesystem::path& path) {
    if (!std::filesystem::exists(path)) throw io_error(message(path, ": there is no such file"));
    const input_file file(path);
    bool found = false;
    for (std::int64_t at = 0; !found && at + 8 <= file.size(); at = at == 0 ? 512 : 2 * at) {
      char signature[8];
      file.read(at, signature, 8);
      found = std::string_view(signature, 8) == "\x89HDF\r\n\x1a\n";
    }
    if (!found) throw io_error(message(path, ": is no HDF5 file"));
    if (file.is_locked()) throw io_error(message(path, ": is locked by another program, which may be writing it"));
    return file.size();
  }

  h5_handle open(const std::string& link) const {
    if (!has(link)) throw io_error(message(name_, ": has no data set '", link, "'"));
    for (std::size_t end = link.find('/');; end = link.find('/', end + 1)) {  // each part of the way
      H5L_info_t info;
      const std::string part = link.substr(0, end);
      expect(H5Lget_info(file_, part.c_str(), &info, H5P_DEFAULT) >= 0, link);
      if (info.type != H5L_TYPE_HARD && info.type != H5L_TYPE_SOFT)
        throw io_error(message(name_, ": '", part, "' is a link to another file, which is not followed"));
      if (end == link.npos) break;
    }
    h5_handle set(H5Dopen2(file_, link.c_str(), H5P_DEFAULT), H5Dclose);
    if (!set.ok())
      throw io_error(message(name_, ": data set '", link, "' cannot be opened by ", h5_version(),
                             ": the file is damaged, or of a newer HDF5: ", h5_reason()));
    const h5_handle type(H5Dget_type(set), H5Tclose);
    const H5T_class_t kind = H5Tget_class(type);
    const std::size_t width = H5Tget_size(type);
    if ((kind != H5T_INTEGER && kind != H5T_FLOAT) || (width != 1 && width != 2 && width != 4 && width != 8))
      throw io_error(message(name_, ": data set '", link, "' holds no numbers of 1, 2, 4 or 8 bytes"));
    return set;
  }

  std::vector<std::int64_t> extents_of(const h5_handle& set, const std::string& link) const {
    const auto refuse = [&](const std::string& what) {
      throw io_error(message(name_, ": data set '", link, "' ", what));
    };
    const h5_handle space(H5Dget_space(set), H5Sclose), type(H5Dget_type(set), H5Tclose),
        properties(H5Dget_create_plist(set), H5Pclose);
    expect(space.ok() && type.ok() && properties.ok(), link);
    const int rank = H5Sget_simple_extent_ndims(space);
    expect(rank >= 1 && rank <= 8, link);
    std::vector<hsize_t> sizes(static_cast<std::size_t>(rank));
    expect(H5Sget_simple_extent_dims(space, sizes.data(), nullptr) >= 0, link);
    std::vector<std::int64_t> extents;
    hsize_t count = 1, most = 1;  // zeros count as ones in `most`: no extent may be beyond all bounds
    for (const hsize_t each : sizes) {
      if (each != 0 && most > (hsize_t{1} << 40) / each) refuse("says that it has more than 2^40 numbers");
      count *= each, most *= (std::max)(each, hsize_t{1});
      extents.push_back(static_cast<std::int64_t>(each));
    }
    const H5D_layout_t layout = H5Pget_layout(properties);
    if (layout == H5D_VIRTUAL || H5Pget_external_count(properties) != 0)
      refuse("keeps its numbers in another file, which is not read");
    const std::size_t width = H5Tget_size(type);
    const bool shrinks = expect_filters(properties, width, refuse);
    // Compression shrinks at most about a thousandfold; a shape that claims more asks for memory and holds nothing.
    const hsize_t stored = H5Dget_storage_size(set), ratio = shrinks ? 1200 : 1;
    if (count > 0 && (stored > static_cast<hsize_t>(bytes_) || stored * ratio < count * width))
      refuse(message("says that it has ", count, " numbers, but stores ", stored, " bytes of the ", bytes_,
                     " of the file"));
    if (count > 0 && layout == H5D_CHUNKED) expect_chunks(set, space, properties, width, sizes, refuse);
    return extents;
  }

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

  void expect(bool good, const std::string& what) const {
    if (good) return;
    const std::string reason = h5_reason();
    throw io_error(
        message(name_, ": ", what, " cannot be read: the file is damaged", reason.empty() ? "" : ": ", reason));
  }
  std::string name_;
  std::int64_t bytes_;
  h5_handle file_;
};

}  // namespace milkit::data::detail
