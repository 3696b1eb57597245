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
#include <milkit/core/macros.hpp>

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

MILKIT_INLINE bool is_called_slide(const std::filesystem::path& path);

/// Why a file that is called as slides are cannot be one.
MILKIT_INLINE std::string fault_of_slide(const std::filesystem::path& path);

/// Adds what lies below a folder. Folders behind symbolic links come after all others, and none comes twice, so that
/// circles end.
MILKIT_INLINE void search_folder(const std::filesystem::path& root, slide_search& search);

}  // namespace detail

/// The slides that `place` means: itself where it is no folder (also where it is no slide: opening it will say so), and
/// otherwise every file below it whose format OpenSlide knows, links to folders followed. That a file is found does not
/// mean that it opens.
MILKIT_INLINE slide_search search_slides(const std::filesystem::path& place);

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
MILKIT_INLINE std::vector<std::filesystem::path> find_slides(const std::filesystem::path& place);

}  // namespace milkit::slide

#if !defined(MILKIT_COMPILED)
#include <milkit/slide/find_slides.ipp>
#endif
