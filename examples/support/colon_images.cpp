#include "colon_images.hpp"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <numeric>

#include <milkit/data/augmentation.hpp>
#include <milkit/data/csv.hpp>
#include <milkit/data/png.hpp>
#include <milkit/data/row_ids.hpp>

namespace example {

using namespace milkit;

namespace {

// "grey", "transparent", or nothing: by the colour type in the header of a PNG.
std::string kind_of(const std::string& bytes) {
  constexpr std::size_t colour_type = 25;
  if (bytes.size() <= colour_type) return {};
  const int type = bytes[colour_type];
  return type == 0 ? "grey" : type == 4 || type == 6 ? "transparent" : "";
}

void make_square(colon_image& image) {
  const std::int64_t height = image.picture.extent(0), width = image.picture.extent(1), side = std::max(height, width);
  if (height == width) return;
  image.left = (side - width) / 2, image.top = (side - height) / 2;
  rgb_image square({side, side, 3});
  for (std::int64_t y = 0; y < side; ++y)
    for (std::int64_t x = 0; x < side; ++x)
      std::copy_n(pixel(image.picture, std::clamp(y - image.top, std::int64_t{0}, height - 1),
                        std::clamp(x - image.left, std::int64_t{0}, width - 1)),
                  3, pixel(square, y, x));
  image.picture = std::move(square);
}

void read_nuclei(const std::filesystem::path& file, std::vector<colon_image>& images) {
  const data::csv_table table = data::read_csv(file);
  for (std::int64_t row = 0; row < table.size(); ++row) {
    const auto found = std::find_if(images.begin(), images.end(), [&](const colon_image& each) {
      return each.name == table.text(row, table.column("image"));
    });
    if (found == images.end()) continue;  // of an image that was skipped
    found->nuclei.push_back({table.number(row, table.column("x")) + static_cast<double>(found->left),
                             table.number(row, table.column("y")) + static_cast<double>(found->top),
                             table.text(row, table.column("type")) == "epithelial"});
  }
}

}  // namespace

colon_images read_colon_images(const std::filesystem::path& folder) {
  const data::csv_table labels = data::read_csv(folder / "labels.csv");
  colon_images read;
  std::vector<std::string> told, named;
  data::row_ids names;
  data::row_files files;
  for (std::int64_t row = 0; row < labels.size(); ++row) {
    colon_image image;
    image.name = names.add(labels, row, labels.column("image"));
    files.add(labels, row, labels.column("image"), folder / image.name);
    image.label = labels.integer(row, labels.column("label"));
    named.push_back(image.name);
    if (image.label != 0 && image.label != 1) labels.fail(row, labels.column("label"), "is a label, expected 0 or 1");
    try {
      const std::string bytes = data::read_all(folder / image.name);
      image.picture = data::decode_png(bytes, (folder / image.name).string());
      const std::string kind = kind_of(bytes);
      if (!kind.empty() && std::find(told.begin(), told.end(), kind) == told.end()) {
        told.push_back(kind);
        std::cerr << image.name << " is " << kind
                  << (kind == "grey" ? "; its values stand for all three colours\n" : "; it is laid over white\n");
      }
      make_square(image);
      read.images.push_back(std::move(image));
    } catch (const std::exception& error) {
      read.skipped.push_back(error.what());
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".png" && std::find(named.begin(), named.end(), name) == named.end())
      read.skipped.push_back(name + ": labels.csv has no label for it");
  }
  std::sort(read.skipped.begin(), read.skipped.end());
  for (const std::int64_t label : {0, 1}) {
    const auto count =
        std::count_if(read.images.begin(), read.images.end(), [&](const auto& each) { return each.label == label; });
    if (count < 2)
      throw io_error(message((folder / "labels.csv").string(), ": ", count, " images with label ", label,
                             " can be used, expected at least 2"));
  }
  if (std::filesystem::exists(folder / "nuclei.csv")) read_nuclei(folder / "nuclei.csv", read.images);
  return read;
}

void prepare_planes(const rgb_image& picture, const image_augmentation& how, const random_stream& random,
                    std::vector<float>& planes) {
  const std::int64_t side = picture.extent(0), pixels = side * side;
  planes.resize(static_cast<std::size_t>(3 * pixels));
  data::cut_densities(picture, side / 2, side / 2, side, {.orientation = how.turned, .stain = how.stain}, random, 0,
                      planes.data());
  if (how.zoom > 0) {
    const std::vector<float> whole = planes;
    data::zoom_planes(view<const float, 3>(whole.data(), {3, side, side}), how.zoom, random, 0,
                      view<float, 3>(planes.data(), {3, side, side}));
  }
  const auto plane = [&](std::int64_t c) { return planes.data() + c * pixels; };
  double sum[3] = {0, 0, 0};
  std::int64_t tissue = 0;
  for (std::int64_t i = 0; i < pixels; ++i) {
    if (plane(0)[i] + plane(1)[i] + plane(2)[i] <= 0.45f) continue;  // what is lit through is no tissue
    ++tissue;
    for (std::int64_t c = 0; c < 3; ++c) sum[c] += static_cast<double>(plane(c)[i]);
  }
  for (std::int64_t c = 0; c < 3; ++c) {
    const double mean = tissue > 0 ? sum[c] / static_cast<double>(tissue) : 0.4;
    const float unit = static_cast<float>(std::max(mean, 0.05));
    for (std::int64_t i = 0; i < pixels; ++i) plane(c)[i] = 1 - std::min(plane(c)[i] / unit, 4.0f);
  }
}

namespace {
std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return values[i] < values[j]; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0, last; first < order.size(); first = last) {
    for (last = first; last < order.size() && values[order[last]] == values[order[first]];) ++last;
    for (std::size_t i = first; i < last; ++i) ranks[order[i]] = static_cast<double>(first + last - 1) / 2;
  }
  return ranks;
}
}  // namespace

double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  const std::vector<double> x = ranks_of(a), y = ranks_of(b);
  const double middle = (static_cast<double>(x.size()) - 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - middle) * (y[i] - middle);
    xx += (x[i] - middle) * (x[i] - middle);
    yy += (y[i] - middle) * (y[i] - middle);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace example
