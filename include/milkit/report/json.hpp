#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

#include <milkit/data/atomic_file.hpp>

namespace milkit::report {

/// A JSON document that keeps its keys in the order in which they were set.
using json = nlohmann::ordered_json;

/// Writes a document, atomically, indented by two spaces; NaN and infinity become null, bytes that are not UTF-8 a
/// replacement character.
inline void write_json(const std::filesystem::path& path, const json& document) {
  data::write_all(path, document.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace milkit::report
