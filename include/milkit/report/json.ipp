#pragma once

#include <milkit/report/json.hpp>

namespace milkit::report {

MILKIT_INLINE void write_json(const std::filesystem::path& path, const json& document) {
  data::write_all(path, document.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace milkit::report
