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

// What happens to the picture first: turned and reflected, both stains multiplied by up to 1 +- stain, a field of 1 / (1 + zoom) to
// 1 + zoom times its side.
struct image_augmentation {
  bool turned = false;
  double stain = 0, zoom = 0;
};

// Planes [3, side, side] of a square picture: of each colour 1 - d / m, d its optical density -ln((v + 1) / 256) up to 4 m, m the mean of d
// over the picture's tissue, which is where the three densities add up to more than 0.45. White is 1, and a picture that is more bluish or
// pinker than others looks as they do.
void prepare_planes(const milkit::rgb_image& picture, const image_augmentation& how,
                    const milkit::random_stream& random, std::vector<float>& planes);

// The rank correlation of two lists (Spearman); equal values share their mean rank. NaN where a list is constant.
double spearman(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace example
