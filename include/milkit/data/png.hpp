#pragma once

#include <algorithm>
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

/// A PNG without the chunks that say how its values are to be shown; they say nothing of the values.
inline std::string without_colour_chunks(std::string_view bytes) {
  constexpr std::size_t signature = 8, frame = 12;  // length, name and checksum of a chunk
  std::string kept(bytes.substr(0, signature));
  for (std::size_t at = signature; at < bytes.size();) {
    std::size_t length = 0;
    for (std::size_t i = at; i < at + 4 && i < bytes.size(); ++i)
      length = length << 8 | static_cast<unsigned char>(bytes[i]);
    const std::string_view chunk = bytes.substr(at, length + frame),
                           name = chunk.substr((std::min)(chunk.size(), std::size_t{4}), 4);
    if (name != "gAMA" && name != "cHRM" && name != "sRGB" && name != "iCCP" && name != "cICP" && name != "mDCV" &&
        name != "cLLI" && name != "mDCv" && name != "cLLi")
      kept += chunk;
    at += chunk.size();
  }
  return kept;
}

/// The bits of a pixel by the header of a PNG; at least 1, whatever it says.
inline std::int64_t bits_of_pixel(std::string_view bytes) {
  constexpr std::size_t depth = 24, colour = 25;
  if (bytes.size() <= colour) return 1;
  const int channels = bytes[colour] == 2 ? 3 : bytes[colour] == 4 ? 2 : bytes[colour] == 6 ? 4 : 1;
  return (std::max)(channels * bytes[depth], 1);
}

}  // namespace detail

/// Decodes a PNG into RGB [height, width, 3]: grey, palette and 16-bit pictures are converted (16 bits by value / 257),
/// alpha is laid over white. The stored values count, whatever gAMA, cHRM, sRGB, iCCP or cICP say, as most programs of
/// the field read them. `name` is for messages. Anything else, a damaged or truncated picture: io_error. So is one that
/// the bytes cannot hold (deflate shrinks at most about a thousandfold), and one that takes more memory than `memory`
/// bytes and ten times the file, before it is taken.
inline rgb_image decode_png(std::string_view bytes, const std::string& name,
                            std::int64_t memory = std::int64_t{64} << 20) {
  const std::string plain = detail::without_colour_chunks(bytes);
  detail::png_handle png;
  if (!png_image_begin_read_from_memory(&png.image, plain.data(), plain.size()))
    throw io_error(message(name, ": is no PNG that can be read: ", png.image.message));
  const std::int64_t height = png.image.height, width = png.image.width, size = static_cast<std::int64_t>(bytes.size());
  const bool transparent = (png.image.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  if (height * (width * detail::bits_of_pixel(plain) / 8) > size * 1040)
    throw io_error(
        message(name, ": says that it is ", width, " x ", height, " pixels, more than its ", size, " bytes can hold"));
  if (const std::int64_t wanted = height * width * (transparent ? 7 : 3); wanted > memory + 10 * size)
    throw io_error(message(name, ": says that it is ", width, " x ", height, " pixels, which take ", wanted,
                           " bytes of memory, expected at most ", memory + 10 * size, " of a file of ", size,
                           " bytes"));
  png.image.format = transparent ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB;
  png.image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  const auto read_into = [&](std::uint8_t* pixels) {
    if (!png_image_finish_read(&png.image, nullptr, pixels, 0, nullptr))
      throw io_error(message(name, ": is a damaged PNG: ", png.image.message));
  };
  if (!transparent) {
    rgb_image rgb({height, width, 3});
    read_into(rgb.data());
    return rgb;
  }
  tensor<std::uint8_t, 3> rgba({height, width, 4});
  read_into(rgba.data());
  rgb_image rgb({height, width, 3});
  const std::uint8_t* from = rgba.data();
  for (std::uint8_t* to = rgb.data(); to != rgb.data() + rgb.size(); to += 3, from += 4) {
    const int alpha = from[3];
    for (int c = 0; c < 3; ++c) to[c] = static_cast<std::uint8_t>((from[c] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
  return rgb;
}

inline rgb_image read_png(const std::filesystem::path& path, std::int64_t memory = std::int64_t{64} << 20) {
  return decode_png(read_all(path), path.string(), memory);
}

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
