#pragma once

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include <openslide.h>

#include <milkit/core/error.hpp>

namespace milkit::slide {

/// What a search for slides came upon.
struct slide_search {
  struct refused {
    std::filesystem::path path;
    std::string why;  ///< a sentence that names the path
  };
  std::vector<std::filesystem::path> slides;  ///< whose format OpenSlide knows, sorted by path
  std::vector<refused> refusals;  ///< folders that cannot be listed, and files that are no slides but are called so
};

namespace detail {

inline bool is_called_slide(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* each : {".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif"})
    if (ending == each) return true;
  return false;
}

/// Why a file that is called as slides are cannot be one.
inline std::string fault_of_slide(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_symlink(path, error) && !std::filesystem::exists(path, error))
    return message("slide ", path.string(), ": is a link to ", std::filesystem::read_symlink(path, error).string(),
                   ", which is not there");
  if (std::filesystem::file_size(path, error) == 0 && !error)
    return message("slide ", path.string(), ": cannot be opened: the file is empty");
  return message("slide ", path.string(), ": cannot be opened: OpenSlide knows no format of this file; it is damaged, ",
                 "or no slide");
}

/// Adds what lies below a folder. Folders behind symbolic links come after all others, and none comes twice, so that
/// circles end.
inline void search_folder(const std::filesystem::path& root, slide_search& search) {
  std::vector<std::filesystem::path> folders{root}, linked;
  std::set<std::filesystem::path> seen;
  while (!folders.empty() || !linked.empty()) {
    auto& next = folders.empty() ? linked : folders;
    const std::filesystem::path folder = next.back();
    next.pop_back();
    std::error_code error;
    const auto own = std::filesystem::canonical(folder, error);
    if (!seen.insert(error ? folder : own).second) continue;
    std::filesystem::directory_iterator entry(folder, error);
    for (const std::filesystem::directory_iterator end; !error && entry != end; entry.increment(error)) {
      std::error_code unreadable;
      const auto& path = entry->path();
      const bool link = entry->is_symlink(unreadable);
      if (entry->is_directory(unreadable)) (link ? linked : folders).push_back(path);
      else if (entry->is_regular_file(unreadable) && openslide_detect_vendor(path.string().c_str()))
        search.slides.push_back(path);
      else if (is_called_slide(path)) search.refusals.push_back({path, fault_of_slide(path)});
    }
    if (error)
      search.refusals.push_back({folder, message("folder ", folder.string(), ": cannot be listed: ", error.message())});
  }
}

}  // namespace detail

/// The slides that `place` means: itself where it is no folder (also where it is no slide: opening it will say so), and
/// otherwise every file below it whose format OpenSlide knows, links to folders followed. That a file is found does not
/// mean that it opens.
inline slide_search search_slides(const std::filesystem::path& place) {
  slide_search search;
  std::error_code error;
  if (!std::filesystem::is_directory(place, error)) {
    search.slides.push_back(place);
    return search;
  }
  detail::search_folder(place, search);
  std::sort(search.slides.begin(), search.slides.end());
  std::sort(search.refusals.begin(), search.refusals.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return search;
}

/// The slides alone. `report(sentence)` is told every folder that cannot be listed, and every file that is called as
/// slides are (.svs, .tif, .ndpi, ...) and is none: empty, cut off, a link to nothing. Without it such a sentence is an
/// io_error. So is a `place` that holds no slide.
template <class Report>
std::vector<std::filesystem::path> find_slides(const std::filesystem::path& place, Report&& report) {
  slide_search search = search_slides(place);
  for (const auto& each : search.refusals) report(each.why);
  if (search.slides.empty())
    throw io_error(message("folder ", place.string(), ": holds no slide that OpenSlide knows"));
  return std::move(search.slides);
}
inline std::vector<std::filesystem::path> find_slides(const std::filesystem::path& place) {
  return find_slides(place, [](const std::string& sentence) { throw io_error(sentence); });
}

}  // namespace milkit::slide
