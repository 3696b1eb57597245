#pragma once

#include <milkit/data/h5_writer.hpp>

namespace milkit::data::detail {

MILKIT_INLINE h5_handle h5_writer::group(const std::string& path) {
  h5_handle made(H5Gcreate2(file_, path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
  expect(made.ok());
  return made;
}

MILKIT_INLINE void h5_writer::text(hid_t where, const std::string& key, const std::string& value) {
  const h5_handle type(H5Tcopy(H5T_C_S1), H5Tclose), space(H5Screate(H5S_SCALAR), H5Sclose);
  expect(type.ok() && space.ok() && H5Tset_size(type, value.size() + 1) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0);
  const h5_handle attribute(H5Acreate2(where, key.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  expect(attribute.ok() && H5Awrite(attribute, type, value.c_str()) >= 0);
}

MILKIT_INLINE void h5_writer::write(atomic_file& to) {
  void* memory = nullptr;
  expect(H5Fflush(file_, H5F_SCOPE_GLOBAL) >= 0);
  const ssize_t bytes = H5Fget_file_image(file_, nullptr, 0);  // without the room that is kept for more
  expect(bytes > 0 && H5Fget_vfd_handle(file_, H5P_DEFAULT, &memory) >= 0 && memory);
  const void* image = *static_cast<void**>(memory);
  const auto size = static_cast<std::size_t>(bytes);
  to.write(image, size);
  to.write(message(h5_trailer, digest().add(image, size).text(), "\n"));
}

MILKIT_INLINE hid_t h5_writer::create() {
  const h5_handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  if (!access.ok() || H5Pset_fapl_core(access, std::size_t{1} << 20, false) < 0) return -1;
  return H5Fcreate("milkit", H5F_ACC_TRUNC, H5P_DEFAULT, access);
}

}  // namespace milkit::data::detail
