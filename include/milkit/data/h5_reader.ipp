#pragma once

#include <milkit/data/h5_reader.hpp>

namespace milkit::data::detail {

MILKIT_INLINE h5_digest check_h5_digest(const std::filesystem::path& path) {
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

MILKIT_INLINE std::vector<std::string> h5_reader::names() const {
  std::vector<std::string> all;
  const auto add = [](hid_t, const char* text, const H5L_info_t*, void* to) -> herr_t {
    static_cast<std::vector<std::string>*>(to)->emplace_back(text);
    return 0;
  };
  expect(H5Literate(file_, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, add, &all) >= 0, "its root");
  std::sort(all.begin(), all.end());
  return all;
}

MILKIT_INLINE std::map<std::string, std::string> h5_reader::texts(const std::string& where) const {
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

MILKIT_INLINE std::vector<std::int64_t> h5_reader::extents(const std::string& link) const {
  const h5_handle set = open(link);
  return extents_of(set, link);
}

MILKIT_INLINE std::int64_t h5_reader::expect_h5(const std::filesystem::path& path) {
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

MILKIT_INLINE h5_handle h5_reader::open(const std::string& link) const {
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

MILKIT_INLINE std::vector<std::int64_t> h5_reader::extents_of(const h5_handle& set, const std::string& link) const {
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
    refuse(
        message("says that it has ", count, " numbers, but stores ", stored, " bytes of the ", bytes_, " of the file"));
  if (count > 0 && layout == H5D_CHUNKED) expect_chunks(set, space, properties, width, sizes, refuse);
  return extents;
}

MILKIT_INLINE void h5_reader::expect(bool good, const std::string& what) const {
  if (good) return;
  const std::string reason = h5_reason();
  throw io_error(
      message(name_, ": ", what, " cannot be read: the file is damaged", reason.empty() ? "" : ": ", reason));
}

}  // namespace milkit::data::detail
