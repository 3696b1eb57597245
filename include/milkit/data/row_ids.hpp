#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/csv.hpp>

namespace milkit::data {

/// The one rule for ids in tables, of slides, patients, images and bags: they are compared as the table's trimmed text,
/// and an empty one is no id. Errors: io_error with file, line and column.
MILKIT_INLINE const std::string& id_of(const csv_table& table, std::int64_t row, std::int64_t column);

/// The rule for tables in which every id stands once.
class row_ids {
 public:
  /// The id of a row. Errors: as `id_of`, and where a row before has the same, whose line is named.
  MILKIT_INLINE const std::string& add(const csv_table& table, std::int64_t row, std::int64_t column);

 private:
  std::map<std::string, std::int64_t> lines_;
};

/// The files that rows of a table stand for: the same file under two names, by links or by two ways to it, is the same.
class row_files {
 public:
  /// Errors: io_error with file, line and column, and the line of the other row.
  MILKIT_INLINE void add(const csv_table& table, std::int64_t row, std::int64_t column,
                         const std::filesystem::path& path);

 private:
  std::map<std::uintmax_t, std::vector<std::pair<std::filesystem::path, std::int64_t>>> rows_;  // by size
};

/// Files by the names that people give them: with and without the last ending, or by the path below a folder.
class named_files {
 public:
  MILKIT_INLINE named_files(std::filesystem::path folder, const std::vector<std::filesystem::path>& files);

  /// All files of that name; none where there are none.
  MILKIT_INLINE const std::vector<std::filesystem::path>& of(const std::string& name) const;

  /// The file of a path below the folder, or from the root; empty where there is none.
  MILKIT_INLINE std::filesystem::path below(const std::string& path) const;

  /// The file that a row names; empty where there is none. Errors: io_error with file, line and column where it names
  /// two, both of which are told.
  MILKIT_INLINE std::filesystem::path find(const csv_table& table, std::int64_t row, std::int64_t column) const;

 private:
  std::filesystem::path folder_;
  std::map<std::string, std::vector<std::filesystem::path>> files_;
};

}  // namespace milkit::data

#if !defined(MILKIT_COMPILED)
#include <milkit/data/row_ids.ipp>
#endif
