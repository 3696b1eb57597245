#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <milkit/data/csv.hpp>

namespace milkit::data {

/// The one rule for ids in tables, of slides, patients, images and bags: they are compared as the table's trimmed text,
/// and an empty one is no id. Errors: io_error with file, line and column.
inline const std::string& id_of(const csv_table& table, std::int64_t row, std::int64_t column) {
  const std::string& id = table.text(row, column);
  if (id.empty()) table.fail(row, column, "is no id: the field is empty");
  return id;
}

/// The rule for tables in which every id stands once.
class row_ids {
 public:
  /// The id of a row. Errors: as `id_of`, and where a row before has the same, whose line is named.
  const std::string& add(const csv_table& table, std::int64_t row, std::int64_t column) {
    const std::string& id = id_of(table, row, column);
    const std::int64_t line = table.lines[static_cast<std::size_t>(row)];
    const auto [before, is_new] = lines_.emplace(id, line);
    if (!is_new) table.fail(row, column, message("is there twice: line ", before->second, " has it, too"));
    return id;
  }

 private:
  std::map<std::string, std::int64_t> lines_;
};

/// The files that rows of a table stand for: the same file under two names, by links or by two ways to it, is the same.
class row_files {
 public:
  /// Errors: io_error with file, line and column, and the line of the other row.
  void add(const csv_table& table, std::int64_t row, std::int64_t column, const std::filesystem::path& path) {
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

 private:
  std::map<std::uintmax_t, std::vector<std::pair<std::filesystem::path, std::int64_t>>> rows_;  // by size
};

/// Files by the names that people give them: with and without the last ending, or by the path below a folder.
class named_files {
 public:
  named_files(std::filesystem::path folder, const std::vector<std::filesystem::path>& files)
      : folder_(std::move(folder)) {
    for (const auto& path : files) {
      for (const auto& name : {path.filename(), path.stem()}) {
        auto& all = files_[std::string(trimmed(name.string()))];
        if (all.empty() || all.back() != path) all.push_back(path);
      }
    }
  }

  /// All files of that name; none where there are none.
  const std::vector<std::filesystem::path>& of(const std::string& name) const {
    static const std::vector<std::filesystem::path> none;
    const auto found = files_.find(name);
    return found == files_.end() ? none : found->second;
  }

  /// The file of a path below the folder, or from the root; empty where there is none.
  std::filesystem::path below(const std::string& path) const {
    const auto whole = (folder_ / path).lexically_normal();
    return std::filesystem::is_regular_file(whole) ? whole : std::filesystem::path();
  }

  /// The file that a row names; empty where there is none. Errors: io_error with file, line and column where it names
  /// two, both of which are told.
  std::filesystem::path find(const csv_table& table, std::int64_t row, std::int64_t column) const {
    const auto& all = of(table.text(row, column));
    if (all.size() > 1)
      table.fail(row, column,
                 message("stands for two files, ", all[0], " and ", all[1], "; a column 'path' with their paths below ",
                         folder_, " tells which"));
    return all.empty() ? std::filesystem::path() : all[0];
  }

 private:
  std::filesystem::path folder_;
  std::map<std::string, std::vector<std::filesystem::path>> files_;
};

}  // namespace milkit::data
