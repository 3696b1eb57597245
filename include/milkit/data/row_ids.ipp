#pragma once

#include <milkit/data/row_ids.hpp>

namespace milkit::data {

MILKIT_INLINE const std::string& id_of(const csv_table& table, std::int64_t row, std::int64_t column) {
  const std::string& id = table.text(row, column);
  if (id.empty()) table.fail(row, column, "is no id: the field is empty");
  return id;
}

MILKIT_INLINE const std::string& row_ids::add(const csv_table& table, std::int64_t row, std::int64_t column) {
  const std::string& id = id_of(table, row, column);
  const std::int64_t line = table.lines[static_cast<std::size_t>(row)];
  const auto [before, is_new] = lines_.emplace(id, line);
  if (!is_new) table.fail(row, column, message("is there twice: line ", before->second, " has it, too"));
  return id;
}

MILKIT_INLINE void row_files::add(const csv_table& table, std::int64_t row, std::int64_t column,
                                  const std::filesystem::path& path) {
  std::error_code missing;
  const std::uintmax_t size = std::filesystem::file_size(path, missing);
  if (missing) return;  // whoever reads it will say so
  auto& alike = rows_[size];
  const std::int64_t line = table.lines[static_cast<std::size_t>(row)];
  for (const auto& [other, other_line] : alike)
    if (std::filesystem::equivalent(other, path, missing))
      table.fail(row, column, message("is a file that is there twice: line ", other_line, " has ", other, ", too"));
  alike.emplace_back(path, line);
}

MILKIT_INLINE named_files::named_files(std::filesystem::path folder, const std::vector<std::filesystem::path>& files)
    : folder_(std::move(folder)) {
  for (const auto& path : files) {
    for (const auto& name : {path.filename(), path.stem()}) {
      auto& all = files_[std::string(trimmed(name.string()))];
      if (all.empty() || all.back() != path) all.push_back(path);
    }
  }
}

MILKIT_INLINE const std::vector<std::filesystem::path>& named_files::of(const std::string& name) const {
  static const std::vector<std::filesystem::path> none;
  const auto found = files_.find(name);
  return found == files_.end() ? none : found->second;
}

MILKIT_INLINE std::filesystem::path named_files::below(const std::string& path) const {
  const auto whole = (folder_ / path).lexically_normal();
  return std::filesystem::is_regular_file(whole) ? whole : std::filesystem::path();
}

MILKIT_INLINE std::filesystem::path named_files::find(const csv_table& table, std::int64_t row,
                                                      std::int64_t column) const {
  const auto& all = of(table.text(row, column));
  if (all.size() > 1)
    table.fail(row, column,
               message("stands for two files, ", all[0], " and ", all[1], "; a column 'path' with their paths below ",
                       folder_, " tells which"));
  return all.empty() ? std::filesystem::path() : all[0];
}

}  // namespace milkit::data
