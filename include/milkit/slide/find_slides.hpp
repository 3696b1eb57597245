#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <openslide.h>

#include <milkit/core/error.hpp>

namespace milkit::slide {

namespace detail {

/// Adds the slides below a folder. Symbolic links to folders are not followed: they may lead in circles.
template <class Report>
void add_slides(const std::filesystem::path& folder, std::vector<std::filesystem::path>& found, Report& report) {
  std::error_code error;
  std::vector<std::filesystem::path> folders;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code unreadable;
    if (entry->is_directory(unreadable) && !entry->is_symlink(unreadable)) folders.push_back(entry->path());
    else if (entry->is_regular_file(unreadable) && openslide_detect_vendor(entry->path().string().c_str()))
      found.push_back(entry->path());
  }
  if (error) report(message("folder ", folder.string(), ": cannot be listed: ", error.message()));
  for (const auto& each : folders) add_slides(each, found, report);
}

}  // namespace detail

/// The slides that `place` means: itself where it is no folder (also where it is no slide: opening it will say so), and
/// otherwise every file below it whose format OpenSlide knows, sorted by path. That a file is found does not mean that
/// it opens. `report(sentence)` is told every folder that cannot be listed, and the others are searched; without it
/// such a folder is an io_error. So is a `place` that holds no slide.
template <class Report>
std::vector<std::filesystem::path> find_slides(const std::filesystem::path& place, Report&& report) {
  std::error_code error;
  if (!std::filesystem::is_directory(place, error)) return {place};
  std::vector<std::filesystem::path> found;
  detail::add_slides(place, found, report);
  if (found.empty()) throw io_error(message("folder ", place.string(), ": holds no slide that OpenSlide knows"));
  std::sort(found.begin(), found.end());
  return found;
}
inline std::vector<std::filesystem::path> find_slides(const std::filesystem::path& place) {
  return find_slides(place, [](const std::string& sentence) { throw io_error(sentence); });
}

}  // namespace milkit::slide
