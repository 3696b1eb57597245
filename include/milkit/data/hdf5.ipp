#pragma once

#include <milkit/data/hdf5.hpp>

namespace milkit::data::detail {

MILKIT_INLINE double magnification_in(std::string_view name) {
  double value = -1;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data(), end, value);
  const bool good = error == std::errc() && rest + 1 == end && *rest == 'x' && std::isfinite(value) && value > 0;
  return good ? value : -1;
}

MILKIT_INLINE std::string fault_of_level(const feature_level& level, std::int64_t below, bool lowest) {
  const std::int64_t rows = level.features.extent(0), columns = level.features.extent(1);
  if (rows > 0 && columns == 0) return message("has ", rows, " tiles of 0 features");
  if (level.coordinates.extent(0) != rows || level.coordinates.extent(1) != 2)
    return message("has coordinates ", to_string(level.coordinates.shape()), ", expected [", rows, ", 2]");
  if (!lowest)
    if (const std::string fault = fault_of_parents(level.parents, rows, below); !fault.empty()) return ": " + fault;
  for (std::int64_t i = 0; i < rows * columns; ++i)
    if (const float value = level.features.data()[i]; !std::isfinite(value))
      return message(": feature ", i % columns, " of tile ", i / columns, " is ", value, ", which is not finite");
  return "";
}

MILKIT_INLINE void expect_level(const std::string& file, const feature_level& level, std::int64_t below, bool lowest) {
  const std::string fault = fault_of_level(level, below, lowest);
  if (!fault.empty())
    throw io_error(message(file, ": level '", level.name, "'", fault.starts_with(":") ? "" : " ", fault));
}

MILKIT_INLINE feature_level read_level(const h5_reader& file, const std::string& features,
                                       const std::string& coordinates) {
  const auto shape = file.extents(features), places = file.extents(coordinates);
  if (shape.size() != 2 || places.size() != 2)
    throw io_error(message(file.name(), ": data set '", shape.size() != 2 ? features : coordinates, "' has ",
                           shape.size() != 2 ? shape.size() : places.size(), " extents, expected 2"));
  if (shape[0] > 0 && shape[1] == 0)
    throw io_error(message(file.name(), ": data set '", features, "' has ", shape[0], " tiles of 0 features"));
  if (places[0] != shape[0] || places[1] != 2)
    throw io_error(message(file.name(), ": data set '", coordinates, "' is [", places[0], ", ", places[1],
                           "], expected [", shape[0], ", 2] as there are tiles in '", features, "'"));
  feature_level level;
  level.features = file.matrix<float>(features);
  level.coordinates = file.matrix<std::int64_t>(coordinates);
  return level;
}

MILKIT_INLINE feature_pyramid read_official(const h5_reader& file) {
  std::vector<std::pair<double, std::string>> found;
  constexpr std::string_view suffix = "_patches";
  for (const std::string& name : file.names())
    if (name.ends_with(suffix))
      if (const std::string level = name.substr(0, name.size() - suffix.size()); magnification_in(level) > 0)
        found.emplace_back(magnification_in(level), level);
  std::sort(found.begin(), found.end());
  if (found.empty())
    throw io_error(message(file.name(), ": has neither a group 'level1' nor data sets named as '5x_patches'"));
  feature_pyramid made;
  for (const auto& [ignored, name] : found) {
    feature_level level = read_level(file, name + "_patches", name + "_coords");
    level.name = name;
    const std::int64_t rows = level.features.extent(0);
    if (!made.levels.empty()) {
      const std::int64_t below = made.levels.back().features.extent(0);
      if (below == 0 ? rows > 0 : rows % below != 0)
        throw io_error(message(file.name(), ": level '", name, "' has ", rows, " tiles, expected a multiple of the ",
                               below, " of the level below"));
      for (std::int64_t i = 0; i < rows; ++i) level.parents.push_back(i / (rows / below));
    }
    made.levels.push_back(std::move(level));
  }
  return made;
}

MILKIT_INLINE feature_pyramid read_own(const h5_reader& file, const std::map<std::string, std::string>& expected) {
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
    feature_level level = read_level(file, group + "/features", group + "/coordinates");
    level.name = file.texts(group)["name"];
    if (m > 1) level.parents = file.values<std::int64_t>(group + "/parents").second;
    made.levels.push_back(std::move(level));
  }
  return made;
}

MILKIT_INLINE feature_pyramid read_h5_features(const std::filesystem::path& path,
                                               const std::map<std::string, std::string>& expected) {
  const quiet_h5 quiet;
  const h5_reader file(path);
  feature_pyramid made = file.has("level1") ? read_own(file, expected) : read_official(file);
  for (std::size_t m = 0; m < made.levels.size(); ++m)
    expect_level(file.name(), made.levels[m], m > 0 ? made.levels[m - 1].features.extent(0) : 0, m == 0);
  return made;
}

MILKIT_INLINE bool send_features(pipe_end& to, const feature_pyramid& made) {
  bool sent = to.write(static_cast<std::int64_t>(made.provenance.size()));
  for (const auto& [key, value] : made.provenance) sent = sent && to.write(key) && to.write(value);
  sent = sent && to.write(static_cast<std::int64_t>(made.levels.size()));
  for (const feature_level& level : made.levels) {
    const std::int64_t rows = level.features.extent(0), columns = level.features.extent(1);
    sent = sent && to.write(level.name) && to.write(rows) && to.write(columns) &&
           to.write(static_cast<std::int64_t>(level.parents.size())) &&
           to.write(level.features.data(), sizeof(float) * static_cast<std::size_t>(rows * columns)) &&
           to.write(level.coordinates.data(), sizeof(std::int64_t) * static_cast<std::size_t>(2 * rows)) &&
           to.write(level.parents.data(), sizeof(std::int64_t) * level.parents.size());
  }
  return sent;
}

MILKIT_INLINE feature_pyramid receive_features(pipe_end& from) {
  feature_pyramid made;
  for (std::int64_t i = from.number(); i > 0; --i) {
    std::string key = from.text();
    made.provenance[std::move(key)] = from.text();
  }
  made.levels.resize(static_cast<std::size_t>(from.number()));
  for (feature_level& level : made.levels) {
    level.name = from.text();
    const std::int64_t rows = from.number(), columns = from.number();
    level.parents.resize(static_cast<std::size_t>(from.number()));
    level.features = tensor<float, 2>({rows, columns});
    level.coordinates = tensor<std::int64_t, 2>({rows, 2});
    from.read(level.features.data(), sizeof(float) * static_cast<std::size_t>(rows * columns));
    from.read(level.coordinates.data(), sizeof(std::int64_t) * static_cast<std::size_t>(2 * rows));
    from.read(level.parents.data(), sizeof(std::int64_t) * level.parents.size());
  }
  return made;
}

}  // namespace milkit::data::detail

namespace milkit::data {

MILKIT_INLINE void write_features(const std::filesystem::path& path, const feature_pyramid& slide) {
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
  detail::h5_writer out(file.name());
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
  out.write(file);
  file.commit();
}

MILKIT_INLINE feature_pyramid read_features(const std::filesystem::path& path,
                                            const std::map<std::string, std::string>& expected) {
  const std::string name = path.string();
  if (!std::filesystem::exists(path)) throw io_error(message(name, ": there is no such file"));
  const detail::h5_digest digest = detail::check_h5_digest(path);
  if (digest == detail::h5_digest::wrong)
    throw io_error(
        message(name, ": is damaged or cut off: its content does not have the digest that was written with it"));
  const auto seconds = static_cast<std::uint64_t>(10 + std::filesystem::file_size(path) / 20'000'000);
  const auto read = [&] { return detail::read_h5_features(path, expected); };
  if (digest == detail::h5_digest::right) return read();
  return detail::read_apart(name, detail::h5_version(), seconds, read, detail::send_features, detail::receive_features);
}

}  // namespace milkit::data
