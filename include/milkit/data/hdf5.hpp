#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <hdf5.h>

#include <milkit/data/atomic_file.hpp>
#include <milkit/data/feature_pyramid.hpp>

namespace milkit::data {

namespace detail {

/// An HDF5 identifier, closed by the function that its kind wants.
class h5_handle {
 public:
  h5_handle(hid_t id, herr_t (*closer)(hid_t)) : id_(id), close_(closer) {}
  h5_handle(h5_handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  h5_handle(const h5_handle&) = delete;
  h5_handle& operator=(h5_handle&&) = delete;
  ~h5_handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor): it is that number
  bool ok() const { return id_ >= 0; }
  /// Closes it now, and says whether that worked: a file is whole only then.
  bool close() { return close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// HDF5 prints no errors of its own while one of these lives; they arrive as io_error.
class quiet_h5 {
 public:
  quiet_h5() {
    H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  quiet_h5(const quiet_h5&) = delete;
  quiet_h5& operator=(const quiet_h5&) = delete;
  ~quiet_h5() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

template <class T>
hid_t h5_type() {
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  else return H5T_NATIVE_INT64;
}

class h5_writer {
 public:
  explicit h5_writer(const std::string& name, const std::string& temporary)
      : name_(name), file_(H5Fcreate(temporary.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose) {
    expect(file_.ok());
  }
  h5_handle group(const std::string& path) {
    h5_handle made(H5Gcreate2(file_, path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    expect(made.ok());
    return made;
  }
  void text(hid_t where, const std::string& key, const std::string& value) {
    const h5_handle type(H5Tcopy(H5T_C_S1), H5Tclose), space(H5Screate(H5S_SCALAR), H5Sclose);
    expect(type.ok() && space.ok() && H5Tset_size(type, value.size() + 1) >= 0 &&
           H5Tset_cset(type, H5T_CSET_UTF8) >= 0);
    const h5_handle attribute(H5Acreate2(where, key.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    expect(attribute.ok() && H5Awrite(attribute, type, value.c_str()) >= 0);
  }
  template <class T>
  void values(hid_t where, const char* key, const T* data, std::initializer_list<std::int64_t> extents) {
    std::vector<hsize_t> sizes;
    for (const std::int64_t each : extents) sizes.push_back(static_cast<hsize_t>(each));
    const h5_handle space(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr), H5Sclose);
    expect(space.ok());
    const h5_handle set(H5Dcreate2(where, key, h5_type<T>(), space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose);
    expect(set.ok() &&
           (extents.begin()[0] == 0 || H5Dwrite(set, h5_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0));
  }
  void finish() { expect(file_.close()); }
  hid_t file() const { return file_; }

 private:
  void expect(bool good) const {
    if (!good) throw io_error(message(name_, ": HDF5 cannot write it: is the disk full?"));
  }
  std::string name_;
  h5_handle file_;
};

class h5_reader {
 public:
  explicit h5_reader(const std::filesystem::path& path)
      : name_(path.string()), file_(H5Fopen(name_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose) {
    if (!std::filesystem::exists(path)) throw io_error(message(name_, ": there is no such file"));
    if (!file_.ok()) throw io_error(message(name_, ": is no HDF5 file that can be read"));
  }
  const std::string& name() const { return name_; }
  bool has(const std::string& link) const { return H5Lexists(file_, link.c_str(), H5P_DEFAULT) > 0; }

  /// Names of the root's links, in order of their names.
  std::vector<std::string> names() const {
    H5G_info_t info;
    expect(H5Gget_info(file_, &info) >= 0, "its root");
    std::vector<std::string> all;
    for (hsize_t i = 0; i < info.nlinks; ++i) {
      char text[512];
      expect(H5Lget_name_by_idx(file_, ".", H5_INDEX_NAME, H5_ITER_INC, i, text, sizeof text, H5P_DEFAULT) >= 0,
             "its root");
      all.emplace_back(text);
    }
    return all;
  }

  /// Text attributes of the root or a group.
  std::map<std::string, std::string> texts(const std::string& where) const {
    const h5_handle object(H5Oopen(file_, where.c_str(), H5P_DEFAULT), H5Oclose);
    expect(object.ok(), where);
    std::map<std::string, std::string> all;
    const int count = H5Aget_num_attrs(object);
    for (int i = 0; i < count; ++i) {
      const h5_handle attribute(
          H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, static_cast<hsize_t>(i), H5P_DEFAULT, H5P_DEFAULT),
          H5Aclose);
      expect(attribute.ok(), where);
      char key[512];
      expect(H5Aget_name(attribute, sizeof key, key) >= 0, where);
      const h5_handle type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
      expect(type.ok() && space.ok(), where);
      if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0 || H5Tget_size(type) == 0 ||
          H5Sget_simple_extent_npoints(space) != 1)
        continue;  // no single text of ours
      std::string value(H5Tget_size(type), '\0');
      expect(H5Aread(attribute, type, value.data()) >= 0, where);
      value.resize(std::min(value.find('\0'), value.size()));
      all[key] = value;
    }
    return all;
  }

  /// A data set of numbers, converted to T: its shape and values.
  template <class T>
  std::pair<std::vector<std::int64_t>, std::vector<T>> values(const std::string& link) const {
    const h5_handle set(H5Dopen2(file_, link.c_str(), H5P_DEFAULT), H5Dclose);
    if (!set.ok()) throw io_error(message(name_, ": has no data set '", link, "'"));
    const h5_handle space(H5Dget_space(set), H5Sclose), type(H5Dget_type(set), H5Tclose);
    const H5T_class_t kind = H5Tget_class(type);
    if (kind != H5T_INTEGER && kind != H5T_FLOAT)
      throw io_error(message(name_, ": data set '", link, "' holds no numbers"));
    const int rank = H5Sget_simple_extent_ndims(space);
    expect(rank >= 1, link);
    std::vector<hsize_t> sizes(static_cast<std::size_t>(rank));
    H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
    std::vector<std::int64_t> extents;
    hsize_t count = 1;
    for (const hsize_t each : sizes) {
      if (each != 0 && count > (hsize_t{1} << 40) / each)
        throw io_error(message(name_, ": data set '", link, "' says that it has more than 2^40 numbers"));
      count *= each;
      extents.push_back(static_cast<std::int64_t>(each));
    }
    // Compression shrinks at most about a thousandfold; a shape that claims more asks for memory and holds nothing.
    const hsize_t stored = H5Dget_storage_size(set);
    if (count > 0 && stored * 1200 < count)
      throw io_error(message(name_, ": data set '", link, "' says that it has ", count, " numbers, but stores ", stored,
                             " bytes"));
    std::vector<T> all(static_cast<std::size_t>(count));
    expect(count == 0 || H5Dread(set, h5_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()) >= 0, link);
    return {std::move(extents), std::move(all)};
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
  void expect(bool good, const std::string& what) const {
    if (!good) throw io_error(message(name_, ": ", what, " cannot be read: the file is damaged"));
  }
  std::string name_;
  h5_handle file_;
};

/// The number in "2.5x", or a negative one.
inline double magnification_in(std::string_view name) {
  double value = -1;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data(), end, value);
  const bool good = error == std::errc() && rest + 1 == end && *rest == 'x' && std::isfinite(value) && value > 0;
  return good ? value : -1;
}

inline void expect_level(const std::string& file, const feature_level& level, std::int64_t below, bool lowest) {
  const std::int64_t rows = level.features.extent(0);
  if (level.coordinates.extent(0) != rows || level.coordinates.extent(1) != 2)
    throw io_error(message(file, ": level '", level.name, "' has coordinates ", to_string(level.coordinates.shape()),
                           ", expected [", rows, ", 2]"));
  const std::string fault = lowest ? "" : fault_of_parents(level.parents, rows, below);
  if (!fault.empty()) throw io_error(message(file, ": level '", level.name, "': ", fault));
}

/// As the official code of ZoomMIL writes it: "<magnification>x_patches" and "<magnification>x_coords", the tiles of a
/// parent one after the other.
inline feature_pyramid read_official(const h5_reader& file) {
  std::vector<std::pair<double, std::string>> found;
  constexpr std::string_view suffix = "_patches";
  for (const std::string& name : file.names())
    if (name.ends_with(suffix))
      if (const std::string level = name.substr(0, name.size() - suffix.size()); magnification_in(level) > 0)
        found.emplace_back(magnification_in(level), level);
  std::sort(found.begin(), found.end());
  feature_pyramid made;
  for (const auto& [ignored, name] : found) {
    auto& level = made.levels.emplace_back();
    level.name = name;
    level.features = file.matrix<float>(name + "_patches");
    level.coordinates = file.matrix<std::int64_t>(name + "_coords");
    if (made.levels.size() == 1) continue;
    const std::int64_t below = made.levels[made.levels.size() - 2].features.extent(0), rows = level.features.extent(0);
    if (below == 0 || rows % below != 0)
      throw io_error(message(file.name(), ": level '", name, "' has ", rows, " tiles, expected a multiple of the ",
                             below, " of the level below"));
    for (std::int64_t i = 0; i < rows; ++i) level.parents.push_back(i / (rows / below));
  }
  return made;
}

}  // namespace detail

/// Writes features as an HDF5 file, atomically (`atomic_file`): for each level a group "level1", "level2", ... with the
/// data sets `features` (float32), `coordinates` and (above the lowest) `parents` (int64) and the attribute `name`; the
/// provenance as text attributes of the root. Errors: io_error that names the file; shape and value errors of the levels
/// likewise.
inline void write_features(const std::filesystem::path& path, const feature_pyramid& slide) {
  const detail::quiet_h5 quiet;
  expect_value(!slide.levels.empty(), path.string(), "there are no levels to write, expected at least one");
  for (const auto& [key, value] : slide.provenance)
    expect_value(!key.empty() && key.size() < 500 && value.size() < 60000 && value.find('\0') == value.npos &&
                     key.find('\0') == key.npos,
                 path.string(), "provenance '", key.substr(0, 100), "' has ", key.size(), " characters and a value of ",
                 value.size(), ", expected 1 to 499 and at most 59999, none of them 0");
  std::int64_t below = 0;
  for (std::size_t m = 0; m < slide.levels.size(); ++m) {
    detail::expect_level(path.string(), slide.levels[m], below, m == 0);
    below = slide.levels[m].features.extent(0);
  }
  atomic_file file(path);
  detail::h5_writer out(file.name(), file.temporary_name());
  for (const auto& [key, value] : slide.provenance) out.text(out.file(), key, value);
  for (std::size_t m = 0; m < slide.levels.size(); ++m) {
    const feature_level& level = slide.levels[m];
    const auto group = out.group(message("level", m + 1));
    const std::int64_t rows = level.features.extent(0);
    out.text(group, "name", level.name);
    out.values(group, "features", level.features.data(), {rows, level.features.extent(1)});
    out.values(group, "coordinates", level.coordinates.data(), {rows, 2});
    if (m > 0) out.values(group, "parents", level.parents.data(), {rows});
  }
  out.finish();
  file.commit();
}

/// Reads what `write_features` wrote, or a file of the official code of ZoomMIL, whose parents follow from the order of
/// its tiles. What `expected` names must be in the provenance with this value ({{"encoder", "resnet50"}, {"tile_size",
/// "256"}}); a file of the official code has none, and is taken at its word. Errors: io_error that names the file and
/// what is wrong, both values where the provenance is another.
inline feature_pyramid read_features(const std::filesystem::path& path,
                                     const std::map<std::string, std::string>& expected = {}) {
  const detail::quiet_h5 quiet;
  const detail::h5_reader file(path);
  if (!file.has("level1")) {
    auto made = detail::read_official(file);
    if (made.levels.empty())
      throw io_error(message(file.name(), ": has neither a group 'level1' nor data sets named as '5x_patches'"));
    for (std::size_t m = 0; m < made.levels.size(); ++m)
      detail::expect_level(file.name(), made.levels[m], m > 0 ? made.levels[m - 1].features.extent(0) : 0, m == 0);
    return made;
  }
  feature_pyramid made;
  made.provenance = file.texts("/");
  for (const auto& [key, value] : expected) {
    const auto found = made.provenance.find(key);
    if (found == made.provenance.end() || found->second != value)
      throw io_error(message(file.name(), ": its ", key, " is ",
                             found == made.provenance.end() ? "not known" : "'" + found->second + "'", ", expected '",
                             value, "'"));
  }
  for (std::size_t m = 1; file.has(message("level", m)); ++m) {
    const std::string group = message("level", m);
    const std::int64_t below = m > 1 ? made.levels.back().features.extent(0) : 0;
    feature_level level;
    level.name = file.texts(group)["name"];
    level.features = file.matrix<float>(group + "/features");
    level.coordinates = file.matrix<std::int64_t>(group + "/coordinates");
    if (m > 1) level.parents = file.values<std::int64_t>(group + "/parents").second;
    detail::expect_level(file.name(), level, below, m == 1);
    made.levels.push_back(std::move(level));
  }
  return made;
}

}  // namespace milkit::data
