#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

#include <milkit/core/macros.hpp>
#include <milkit/data/atomic_file.hpp>

namespace milkit::report {

/// A JSON document that keeps its keys in the order in which they were set.
using json = nlohmann::ordered_json;

/// Writes a document, atomically, indented by two spaces; NaN and infinity become null, bytes that are not UTF-8 a
/// replacement character.
MILKIT_INLINE void write_json(const std::filesystem::path& path, const json& document);

}  // namespace milkit::report

#if !defined(MILKIT_COMPILED)
#include <milkit/report/json.ipp>
#endif
