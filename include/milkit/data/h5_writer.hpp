#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <hdf5.h>

#include <milkit/core/macros.hpp>
#include <milkit/data/atomic_file.hpp>
#include <milkit/data/digest.hpp>
#include <milkit/data/h5_handle.hpp>

namespace milkit::data::detail {

/// Builds an HDF5 file in memory, and writes it as one piece: HDF5 1.10 does not survive a disk that is full.
class h5_writer {
 public:
  explicit h5_writer(std::string name) : name_(std::move(name)), file_(create(), H5Fclose) { expect(file_.ok()); }
  MILKIT_INLINE h5_handle group(const std::string& path);
  MILKIT_INLINE void text(hid_t where, const std::string& key, const std::string& value);
  template <class T>
  void values(hid_t where, const char* key, const T* data, std::initializer_list<std::int64_t> extents) {
    std::vector<hsize_t> sizes;
    hsize_t count = 1;
    for (const std::int64_t each : extents) sizes.push_back(static_cast<hsize_t>(each)), count *= sizes.back();
    const h5_handle space(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr), H5Sclose);
    const h5_handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    expect(space.ok() && properties.ok());
    if (count > 0) {  // in pieces of about 1 MB, each with a checksum
      std::vector<hsize_t> chunk = sizes;
      const hsize_t row = count / sizes[0] * sizeof(T);
      chunk[0] = (std::min)(sizes[0], (std::max)(hsize_t{1} << 20, row) / row);
      expect(H5Pset_chunk(properties, static_cast<int>(chunk.size()), chunk.data()) >= 0 &&
             H5Pset_fletcher32(properties) >= 0);
    }
    const h5_handle set(H5Dcreate2(where, key, h5_type<T>(), space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose);
    expect(set.ok() && (count == 0 || H5Dwrite(set, h5_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0));
  }
  hid_t file() const { return file_; }

  /// Everything so far, with the digest behind it.
  MILKIT_INLINE void write(atomic_file& to);

 private:
  MILKIT_INLINE static hid_t create();
  void expect(bool good) const {
    if (!good) throw io_error(message(name_, ": HDF5 cannot write it: ", h5_reason()));
  }
  std::string name_;
  h5_handle file_;
};

}  // namespace milkit::data::detail

#if !defined(MILKIT_COMPILED)
#include <milkit/data/h5_writer.ipp>
#endif
