#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <png.h>

#include <milkit/core/image.hpp>
#include <milkit/data/atomic_file.hpp>
#include <milkit/data/input_file.hpp>

namespace milkit::data {

namespace detail {

struct png_handle {
  png_image image = {};
  png_handle() { image.version = PNG_IMAGE_VERSION; }
  png_handle(const png_handle&) = delete;
  png_handle& operator=(const png_handle&) = delete;
  ~png_handle() { png_image_free(&image); }
};

}  // namespace detail

/// Decodes a PNG into RGB [height, width, 3]: grey, palette and 16-bit pictures are converted, alpha is laid over
/// white. `name` is for messages. Anything else, a damaged or truncated picture: io_error. Memory is bounded by what
/// the bytes can hold (deflate shrinks at most about a thousandfold), whatever size the header claims.
inline rgb_image decode_png(std::string_view bytes, const std::string& name) {
  detail::png_handle png;
  if (!png_image_begin_read_from_memory(&png.image, bytes.data(), bytes.size()))
    throw io_error(message(name, ": is no PNG that can be read: ", png.image.message));
  const std::int64_t height = png.image.height, width = png.image.width;
  if (height * width / 8 > static_cast<std::int64_t>(bytes.size()) * 1040)
    throw io_error(message(name, ": says that it is ", width, " x ", height, " pixels, more than its ", bytes.size(),
                           " bytes can hold"));
  png.image.format = PNG_FORMAT_RGBA;
  png.image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  tensor<std::uint8_t, 3> rgba({height, width, 4});
  if (!png_image_finish_read(&png.image, nullptr, rgba.data(), 0, nullptr))
    throw io_error(message(name, ": is a damaged PNG: ", png.image.message));
  rgb_image rgb({height, width, 3});
  const std::uint8_t* from = rgba.data();
  for (std::uint8_t* to = rgb.data(); to != rgb.data() + rgb.size(); to += 3, from += 4) {
    const int alpha = from[3];
    for (int c = 0; c < 3; ++c) to[c] = static_cast<std::uint8_t>((from[c] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
  return rgb;
}

inline rgb_image read_png(const std::filesystem::path& path) { return decode_png(read_all(path), path.string()); }

/// Encodes [height, width, channels] bytes as PNG: grey (1 channel), RGB (3) or RGBA (4). Other extents: shape_error.
inline std::string encode_png(view<const std::uint8_t, 3> picture) {
  const std::int64_t channels = picture.extent(2);
  if (picture.size() == 0 || (channels != 1 && channels != 3 && channels != 4))
    throw shape_error(message("milkit::data::encode_png: picture is ", to_string(picture.shape()),
                              ", expected [height, width, channels] with 1, 3 or 4 channels and at least one pixel"));
  detail::png_handle png;
  png.image.height = static_cast<png_uint_32>(picture.extent(0));
  png.image.width = static_cast<png_uint_32>(picture.extent(1));
  png.image.format = channels == 1 ? PNG_FORMAT_GRAY : channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
  const auto stride = static_cast<png_int_32>(picture.stride());
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(png.image), '\0');
  png_alloc_size_t size = bytes.size();
  if (!png_image_write_to_memory(&png.image, bytes.data(), &size, 0, picture.data(), stride, nullptr))
    throw io_error(
        message("milkit::data::encode_png: a picture of ", to_string(picture.shape()), ": ", png.image.message));
  bytes.resize(size);
  return bytes;
}

inline void write_png(const std::filesystem::path& path, view<const std::uint8_t, 3> picture) {
  write_all(path, encode_png(picture));
}

}  // namespace milkit::data
