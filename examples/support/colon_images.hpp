#pragma once
// Whole images of colon tissue with a label each, as zoom_in_colon trains on them.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <milkit/core/image.hpp>
#include <milkit/core/random.hpp>

namespace example {

struct nucleus {
  double x = 0, y = 0;
  bool epithelial = false;
};
struct colon_image {
  std::string name;
  std::int64_t label = 0;
  milkit::rgb_image picture;       // square: the border of one that is not goes on
  std::int64_t left = 0, top = 0;  // where the picture of the file lies in it
  std::vector<nucleus> nuclei;     // where nuclei.csv is there; training never sees them
};
struct colon_images {
  std::vector<colon_image> images;
  std::vector<std::string> skipped;  // what could not be used, and why, a sentence each
};

// Reads labels.csv (image,label) with the PNG images that it names, and nuclei.csv (image,type,x,y) where there is one. An image that
// cannot be read and a PNG without a label are named in `skipped` and left out. Grey and transparent pictures are told of once, on stderr.
// Errors: io_error for tables that cannot be read, a label other than 0 or 1, fewer than two images of either label.
colon_images read_colon_images(const std::filesystem::path& folder);

// Planes [3, side, side] of a square picture, each colour with mean 0 and deviation 1 over the picture.
// With `stain` >= 0 turned at random and its stains multiplied by up to 1 +- stain.
void prepare_planes(const milkit::rgb_image& picture, double stain, const milkit::random_stream& random, std::vector<float>& planes);

// The rank correlation of two lists (Spearman); equal values share their mean rank. NaN where a list is constant.
double spearman(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace example
