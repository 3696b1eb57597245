#pragma once

#include <milkit/slide/find_slides.hpp>

namespace milkit::slide::detail {

MILKIT_INLINE bool is_called_slide(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* each : {".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif"})
    if (ending == each) return true;
  return false;
}

MILKIT_INLINE std::string fault_of_slide(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_symlink(path, error) && !std::filesystem::exists(path, error))
    return message("slide ", path.string(), ": is a link to ", std::filesystem::read_symlink(path, error).string(),
                   ", which is not there");
  if (std::filesystem::file_size(path, error) == 0 && !error)
    return message("slide ", path.string(), ": cannot be opened: the file is empty");
  return message("slide ", path.string(), ": cannot be opened: OpenSlide knows no format of this file; it is damaged, ",
                 "or no slide");
}

MILKIT_INLINE void search_folder(const std::filesystem::path& root, slide_search& search) {
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

}  // namespace milkit::slide::detail

namespace milkit::slide {

MILKIT_INLINE slide_search search_slides(const std::filesystem::path& place) {
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

MILKIT_INLINE std::vector<std::filesystem::path> find_slides(const std::filesystem::path& place) {
  return find_slides(place, [](const std::string& sentence) { throw io_error(sentence); });
}

}  // namespace milkit::slide
