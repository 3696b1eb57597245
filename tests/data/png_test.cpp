#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

#include <png.h>

#include <data/corruption.hpp>
#include <milkit/data/png.hpp>

namespace md = milkit::data;
using namespace milkit::test;
using milkit::tensor;

namespace {

tensor<std::uint8_t, 3> pattern(std::int64_t height, std::int64_t width, std::int64_t channels) {
  tensor<std::uint8_t, 3> picture({height, width, channels});
  for (std::int64_t i = 0; i < picture.size(); ++i) picture.data()[i] = static_cast<std::uint8_t>(i * 37 % 251);
  return picture;
}

/// Writes rows as they are, of any colour type and depth, by libpng's row interface.
void write_raw(const std::filesystem::path& path, std::uint32_t height, std::uint32_t width, int depth, int colour,
               const std::vector<std::uint8_t>& bytes, const std::vector<png_color>& palette = {}) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, file);
  png_set_IHDR(png, info, width, height, depth, colour, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  png_write_info(png, info);
  for (std::uint32_t y = 0; y < height; ++y) png_write_row(png, bytes.data() + y * bytes.size() / height);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  std::fclose(file);
}

/// The same file with a chunk behind its header.
void add_chunk(const std::filesystem::path& path, const std::string& name, const std::string& content) {
  std::string bytes = milkit::data::read_all(path);
  const auto number = [](std::uint32_t value) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xFF);
    return text;
  };
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char c : name + content) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
  }
  bytes.insert(33, number(static_cast<std::uint32_t>(content.size())) + name + content + number(~crc));
  write_bytes(path, bytes);
}

std::vector<int> pixels_of(const std::filesystem::path& path) {
  const auto picture = md::read_png(path);
  return {picture.data(), picture.data() + picture.size()};
}

}  // namespace

TEST_CASE("RGB pictures come back as they were") {
  const temporary_directory folder;
  for (const auto& [height, width] : {std::pair{1, 1}, std::pair{31, 33}, std::pair{257, 3}}) {
    const auto picture = pattern(height, width, 3);
    md::write_png(folder.path() / "a.png", picture.view());
    const auto back = md::read_png(folder.path() / "a.png");
    CHECK(back.shape() == picture.shape());
    CHECK(std::equal(back.data(), back.data() + back.size(), picture.data()));
  }
}

TEST_CASE("grey becomes three equal channels and alpha lies over white") {
  const temporary_directory folder;
  const auto grey = pattern(5, 7, 1);
  md::write_png(folder.path() / "grey.png", grey.view());
  const auto rgb = pixels_of(folder.path() / "grey.png");
  for (std::size_t i = 0; i < rgb.size(); ++i) CHECK(rgb[i] == grey.data()[i / 3]);

  tensor<std::uint8_t, 3> clear({1, 4, 4});
  const std::uint8_t values[] = {10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 128, 200, 0, 0, 64};
  std::copy(std::begin(values), std::end(values), clear.data());
  md::write_png(folder.path() / "clear.png", clear.view());
  CHECK(pixels_of(folder.path() / "clear.png") ==
        std::vector<int>{10, 20, 30, 255, 255, 255, 127, 177, 255, 241, 191, 191});
}

TEST_CASE("a view of part of a picture is written") {
  const temporary_directory folder;
  const auto picture = pattern(6, 8, 3);
  const milkit::view<const std::uint8_t, 3> part(picture.data() + 3, {6, 2, 3}, 24);
  md::write_png(folder.path() / "part.png", part);
  const auto back = md::read_png(folder.path() / "part.png");
  for (std::int64_t y = 0; y < 6; ++y)
    for (std::int64_t i = 0; i < 6; ++i) CHECK(back.view().row(y)[i] == picture.data()[y * 24 + 3 + i]);
}

TEST_CASE("16-bit, palette and one-bit pictures are converted") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.png";
  write_raw(path, 1, 2, 16, PNG_COLOR_TYPE_RGB, {255, 255, 128, 128, 0, 0, 0x12, 0x12, 1, 1, 254, 254});
  CHECK(pixels_of(path) == std::vector<int>{255, 128, 0, 0x12, 1, 254});
  write_raw(path, 1, 3, 8, PNG_COLOR_TYPE_PALETTE, {1, 0, 1}, {{9, 8, 7}, {200, 100, 50}});
  CHECK(pixels_of(path) == std::vector<int>{200, 100, 50, 9, 8, 7, 200, 100, 50});
  write_raw(path, 1, 3, 1, PNG_COLOR_TYPE_GRAY, {0xA0});
  CHECK(pixels_of(path) == std::vector<int>{255, 255, 255, 0, 0, 0, 255, 255, 255});
}

TEST_CASE("read_png: gAMA and sRGB of any kind of PNG -> the stored values") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.png";
  const std::string gamma_1("\0\1\x86\xA0", 4), gamma_055("\0\0\xD9\x04", 4), white(32, '\1'), perceptual("\0", 1);
  struct form {
    int depth, colour;
    std::vector<std::uint8_t> bytes;
    std::vector<png_color> palette;
    std::vector<int> want;
  };
  // 0x1234 / 257 is 18.1, 0x8001 / 257 127.5; half of 100 over white is 177 of alpha 128.
  const form forms[] = {
      {8, PNG_COLOR_TYPE_RGB, {0, 32, 64, 96, 128, 255}, {}, {0, 32, 64, 96, 128, 255}},
      {8, PNG_COLOR_TYPE_GRAY, {7, 200}, {}, {7, 7, 7, 200, 200, 200}},
      {8, PNG_COLOR_TYPE_PALETTE, {1, 0}, {{9, 8, 7}, {200, 100, 50}}, {200, 100, 50, 9, 8, 7}},
      {16,
       PNG_COLOR_TYPE_RGB,
       {0x12, 0x34, 0, 0, 0x20, 0x20, 255, 255, 0x80, 0x80, 1, 1},
       {},
       {18, 0, 32, 255, 128, 1}},
      {8, PNG_COLOR_TYPE_GRAY_ALPHA, {100, 255, 100, 128}, {}, {100, 100, 100, 177, 177, 177}},
      {16, PNG_COLOR_TYPE_GRAY_ALPHA, {0x12, 0x34, 255, 255, 100, 100, 128, 128}, {}, {18, 18, 18, 177, 177, 177}}};
  for (const form& each : forms)
    for (const auto& chunk : {std::pair{std::string("none"), std::string()}, std::pair{std::string("gAMA"), gamma_1},
                              std::pair{std::string("gAMA"), gamma_055}, std::pair{std::string("sRGB"), perceptual}}) {
      const std::string &name = chunk.first, &content = chunk.second;
      CAPTURE(each.depth);
      CAPTURE(each.colour);
      CAPTURE(name);
      write_raw(path, 1, 2, each.depth, each.colour, each.bytes, each.palette);
      if (name != "none") add_chunk(path, name, content);
      CHECK(pixels_of(path) == each.want);
    }
}

TEST_CASE("read_png: more memory than the file deserves -> refused before it is taken") {
  const temporary_directory folder;
  const auto path = folder.path() / "wide.png";
  const std::uint32_t height = 9000, width = 16000;  // 144 million pixels of one bit: 18 MB that deflate to 20 kB
  write_raw(path, height, width, 1, PNG_COLOR_TYPE_GRAY, std::vector<std::uint8_t>(height * width / 8, 0));
  has(refusal([&] { md::read_png(path); }),
      path.string() + ": says that it is 16000 x 9000 pixels, which take 432000000");
}

TEST_CASE("read_png: no PNG -> refused") {
  const temporary_directory folder;
  const auto path = folder.path() / "none.png";
  for (const std::string& bytes : {std::string(), std::string("GIF89a"), std::string(5000, 'x')}) {
    write_bytes(path, bytes);
    has(refusal([&] { md::read_png(path); }), path.string() + ": is no PNG");
  }
  has(refusal([&] { md::read_png(folder.path() / "missing.png"); }), "cannot be opened");
}

TEST_CASE("read_png: claims more pixels than it can hold -> refused before allocation") {
  std::string bytes = md::encode_png(pattern(2, 2, 3).view());
  const temporary_directory folder;
  const auto path = folder.path() / "huge.png";
  // Width and height of 999,999 in IHDR, whose checksum is then set right.
  for (const std::size_t at : {16u, 20u}) bytes.replace(at, 4, std::string("\x00\x0F\x42\x3F", 4));
  std::uint32_t crc = 0xFFFFFFFFu;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<unsigned char>(bytes[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
  }
  for (std::size_t i = 0; i < 4; ++i) bytes[29 + i] = static_cast<char>(~crc >> (24 - 8 * i) & 0xFF);
  write_bytes(path, bytes);
  has(refusal([&] { md::read_png(path); }), "says that it is 999999 x 999999 pixels");
}

TEST_CASE("pictures without pixels or with two channels are not written") {
  CHECK_THROWS_AS(md::encode_png(tensor<std::uint8_t, 3>({0, 4, 3}).view()), milkit::shape_error);
  CHECK_THROWS_AS(md::encode_png(tensor<std::uint8_t, 3>({4, 4, 2}).view()), milkit::shape_error);
}

TEST_CASE("every corruption of a small PNG is read or refused") {
  const temporary_directory folder;
  const auto path = folder.path() / "small.png";
  const std::string bytes = md::encode_png(pattern(3, 4, 3).view());
  CHECK(refused_corruptions(path, bytes, bytes.size(),
                            [](const std::filesystem::path& file) { static_cast<void>(md::read_png(file)); }) > 100);
}

TEST_CASE("read_png: a colon image -> 500 x 500 pixels") {
  CHECK(md::read_png(data_file("colon/img1.png")).shape() == milkit::shape<3>{500, 500, 3});
}
