#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <openslide.h>

#include <milkit/core/error.hpp>

namespace milkit::slide {

/// The slides that `place` means: itself where it is no folder (also where it is no slide: opening it will say so), and
/// otherwise every file below it whose format OpenSlide knows, sorted by path. That a file is found does not mean that
/// it opens. Throws io_error for a folder that cannot be listed, or that holds no slide.
inline std::vector<std::filesystem::path> find_slides(const std::filesystem::path& place) {
  std::error_code error;
  if (!std::filesystem::is_directory(place, error)) return {place};
  std::vector<std::filesystem::path> found;
  std::filesystem::recursive_directory_iterator entry(place, error), end;
  while (!error && entry != end) {
    std::error_code unreadable;
    if (entry->is_regular_file(unreadable) && openslide_detect_vendor(entry->path().string().c_str()))
      found.push_back(entry->path());
    entry.increment(error);
  }
  if (error) throw io_error(message("folder ", place.string(), ": cannot be listed: ", error.message()));
  if (found.empty()) throw io_error(message("folder ", place.string(), ": holds no slide that OpenSlide knows"));
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace milkit::slide
