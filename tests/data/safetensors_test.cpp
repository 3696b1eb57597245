#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <data/corruption.hpp>
#include <data/full_disk.hpp>
#include <milkit/core/random.hpp>
#include <milkit/data/safetensors.hpp>

namespace md = milkit::data;
using namespace milkit::test;
using milkit::shape;
using milkit::tensor;

namespace {

/// A file of this header and of `data` bytes, its length field being `claimed` (the header's own where negative).
std::string file_of(const std::string& header, std::size_t data, std::int64_t claimed = -1) {
  const std::uint64_t length = claimed < 0 ? header.size() : static_cast<std::uint64_t>(claimed);
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data, '\0');
}

std::string reader_refusal(const std::string& bytes) {
  const temporary_directory folder;
  const auto path = folder.path() / "bad.safetensors";
  write_bytes(path, bytes);
  const std::string text = refusal([&] { md::safetensors_reader{path}; });
  has(text, "bad.safetensors");
  return text;
}

std::string header_refusal(const std::string& header, std::size_t data) {
  return reader_refusal(file_of(header, data));
}

template <class T, int Rank>
tensor<T, Rank> random_tensor(shape<Rank> extents, std::uint64_t block) {
  const milkit::random_stream random(7, 0, block);
  tensor<T, Rank> values(extents);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    const double value = 200 * random.uniform<double>(static_cast<std::uint64_t>(i), 0) - 50;
    if constexpr (std::is_integral_v<T>) values.data()[i] = static_cast<T>(static_cast<std::int64_t>(value));
    else values.data()[i] = static_cast<T>(value);
  }
  return values;
}

template <class T>
void check_round_trip() {
  const temporary_directory folder;
  const auto path = folder.path() / "a.safetensors";
  const auto one = random_tensor<T>(shape<1>{257}, 1);
  const auto two = random_tensor<T>(shape<2>{31, 33}, 2);
  const auto four = random_tensor<T>(shape<4>{2, 3, 5, 1}, 3);
  const tensor<T, 2> none({0, 5});
  md::safetensors_writer writer;
  writer.add("one", one.view());
  writer.add("two", two.view());
  writer.add("four", four.view());
  writer.add("none", none.view());
  writer.write(path);
  const md::safetensors_reader reader(path);
  CHECK(reader.tensors().size() == 4);
  const auto same = [](const auto& a, const auto& b) {
    return a.shape() == b.shape() &&
           std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
  };
  CHECK(same(reader.template read<T, 1>("one"), one));
  CHECK(same(reader.template read<T, 2>("two"), two));
  CHECK(same(reader.template read<T, 4>("four"), four));
  CHECK(reader.template read<T, 2>("none").shape() == shape<2>{0, 5});
  const auto any = reader.template read<T>("four");
  CHECK(any.shape == std::vector<std::int64_t>{2, 3, 5, 1});
  CHECK(any.values == std::vector<T>(four.data(), four.data() + four.size()));
}

}  // namespace

TEST_CASE("every element type comes back bit by bit") {
  check_round_trip<float>();
  check_round_trip<double>();
  check_round_trip<std::int8_t>();
  check_round_trip<std::int16_t>();
  check_round_trip<std::int32_t>();
  check_round_trip<std::int64_t>();
  check_round_trip<std::uint8_t>();
  check_round_trip<std::uint16_t>();
  check_round_trip<std::uint32_t>();
  check_round_trip<std::uint64_t>();
}

TEST_CASE("names and metadata of any text come back, and the data are aligned") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.safetensors";
  const std::string odd = "quote \" back \\ tab \t line \n nul-free \x01 \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x94\xAC /";
  const tensor<double, 1> wide({3});
  const tensor<std::uint8_t, 1> narrow({5});
  md::safetensors_writer writer;
  writer.add(odd, narrow.view());
  writer.add("wide", wide.view());
  writer.set_metadata(odd, odd);
  writer.set_metadata("", "");
  writer.write(path);
  const md::safetensors_reader reader(path);
  CHECK(reader.metadata() == std::map<std::string, std::string>{{"", ""}, {odd, odd}});
  CHECK(reader.contains(odd));
  CHECK_FALSE(reader.contains("other"));
  CHECK(reader.names() == std::vector<std::string>{"wide", odd});
  CHECK(reader.info("wide").offset == 0);
  std::uint64_t length = 0;
  std::memcpy(&length, md::read_all(path).data(), 8);
  CHECK((length + 8) % 64 == 0);
}

TEST_CASE("safetensors: no tensors -> a file that reads back") {
  const temporary_directory folder;
  md::safetensors_writer().write(folder.path() / "none.safetensors");
  CHECK(md::safetensors_reader(folder.path() / "none.safetensors").names().empty());
}

TEST_CASE("a strided view is written without its gaps, and read into one") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.safetensors";
  auto wide = random_tensor<float>(shape<2>{4, 7}, 1);
  md::safetensors_writer writer;
  writer.add("left", milkit::matrix_view<const float>(wide.data(), {4, 3}, 7));
  writer.write(path);
  const md::safetensors_reader reader(path);
  const auto left = reader.read<float, 2>("left");
  tensor<float, 2> other({4, 7});
  reader.read_into("left", milkit::matrix_view<float>(other.data(), {4, 3}, 7));
  for (std::int64_t i = 0; i < 4; ++i)
    for (std::int64_t j = 0; j < 7; ++j) {
      if (j < 3) CHECK(left.view()(i, j) == wide.view()(i, j));
      CHECK(other.view()(i, j) == (j < 3 ? wide.view()(i, j) : 0.0f));
    }
}

TEST_CASE("half and bfloat16 convert exactly") {
  const std::vector<std::uint16_t> half = {0x3C00, 0xC000, 0x7BFF, 0x0400, 0x0001,
                                           0x83FF, 0x7C00, 0xFC00, 0x8000, 0x3555};
  const std::vector<double> half_values = {1,        -2,        65504, 0x1p-14,       0x1p-24, -1023 * 0x1p-24,
                                           HUGE_VAL, -HUGE_VAL, -0.0,  1365 * 0x1p-12};
  const std::vector<std::uint16_t> brain = {0x3F80, 0xC000, 0x7F7F, 0x0001, 0x7F80};
  const std::vector<double> brain_values = {1, -2, 255 * 0x1p120, 0x1p-133, HUGE_VAL};
  const std::uint16_t nan = 0x7E01;
  const std::uint8_t truth[] = {0, 1, 7};
  const temporary_directory folder;
  md::safetensors_writer writer;
  writer.add_bytes("half", md::dtype::f16, {10}, half.data());
  writer.add_bytes("brain", md::dtype::bf16, {5}, brain.data());
  writer.add_bytes("nan", md::dtype::f16, {}, &nan);
  writer.add_bytes("truth", md::dtype::boolean, {3}, truth);
  writer.write(folder.path() / "a");
  const md::safetensors_reader reader(folder.path() / "a");
  CHECK(reader.read<double>("half").values == half_values);
  CHECK(reader.read<float>("half").values == std::vector<float>(half_values.begin(), half_values.end()));
  CHECK(std::signbit(reader.read<float>("half").values[8]));
  CHECK(reader.read<double>("brain").values == brain_values);
  CHECK(std::isnan(reader.read<float>("nan").values[0]));
  CHECK(reader.read<float>("nan").shape.empty());
  CHECK(reader.read<std::uint8_t>("truth").values == std::vector<std::uint8_t>{0, 1, 1});
}

TEST_CASE("a conversion is exact, or asked for, or refused") {
  const temporary_directory folder;
  const std::vector<double> doubles = {0.1, 1e300};
  const std::vector<std::int64_t> wholes = {-3, 300, (std::int64_t{1} << 53) + 1};
  const std::vector<std::int32_t> ints = {-5, 70000};
  md::safetensors_writer writer;
  writer.add_bytes("doubles", md::dtype::f64, {2}, doubles.data());
  writer.add_bytes("wholes", md::dtype::i64, {3}, wholes.data());
  writer.add_bytes("ints", md::dtype::i32, {2}, ints.data());
  writer.write(folder.path() / "a");
  const md::safetensors_reader reader(folder.path() / "a");
  const auto nearest = md::conversion::nearest;
  has(refusal([&] { reader.read<float>("doubles"); }), "'doubles' is F64, expected F32");
  CHECK(reader.read<float>("doubles", nearest).values[0] == 0.1f);
  has(refusal([&] { reader.read<std::int64_t>("doubles", nearest); }), "is F64, expected I64");
  has(refusal([&] { reader.read<double>("wholes"); }), "is I64, expected F64");
  CHECK(reader.read<double>("wholes", nearest).values[1] == 300);
  has(refusal([&] { reader.read<std::int32_t>("wholes", nearest); }), "outside I32");
  has(refusal([&] { reader.read<std::uint8_t>("ints", nearest); }), "outside U8");
  CHECK(reader.read<double>("ints").values == std::vector<double>{-5, 70000});
  CHECK(reader.read<std::int64_t>("ints").values == std::vector<std::int64_t>{-5, 70000});
  has(refusal([&] { reader.read<float>("ints"); }), "is I32, expected F32");
}

TEST_CASE("a missing tensor or one of another shape is named, with what was got and wanted") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.safetensors";
  const auto values = random_tensor<float>(shape<2>{3, 4}, 1);
  md::safetensors_writer writer;
  writer.add("weight", values.view());
  CHECK_THROWS_AS(writer.add("weight", values.view()), milkit::value_error);
  CHECK_THROWS_AS(writer.add("__metadata__", values.view()), milkit::value_error);
  writer.write(path);
  const md::safetensors_reader reader(path);
  has(refusal([&] { reader.read<float, 2>("bias"); }), path.string() + ": has no tensor 'bias'");
  has(refusal([&] { reader.read<float, 1>("weight"); }), "'weight' has shape [3, 4], expected 1 dimension");
  tensor<float, 2> out({4, 3});
  has(refusal([&] { reader.read_into("weight", out.view()); }), "has shape [3, 4], expected [4, 3]");
}

TEST_CASE("row chunks equal the whole") {
  const temporary_directory folder;
  const auto path = folder.path() / "bag.safetensors";
  const auto values = random_tensor<float>(shape<2>{1000, 33}, 1);
  const auto line = random_tensor<double>(shape<1>{5}, 2);
  md::safetensors_writer writer;
  writer.add("line", line.view());
  writer.add("features", values.view());
  writer.write(path);
  const auto rows = md::safetensors_reader(path).rows<float>("features");
  const auto wide = md::safetensors_reader(path).rows<double>("features");
  REQUIRE(rows.rows() == 1000);
  REQUIRE(rows.cols() == 33);
  tensor<float, 2> out({64, 40});
  tensor<double, 2> doubles({64, 33});
  bool same = true;
  for (std::int64_t first = 960; first >= 0; first -= 64) {
    const std::int64_t count = (std::min)(std::int64_t{64}, 1000 - first);
    rows.read(first, {out.data(), {count, 33}, 40});
    wide.read(first, doubles.view().rows(0, count));
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t j = 0; j < 33; ++j)
        same = same && out.view()(i, j) == values.view()(first + i, j) &&
               doubles.view()(i, j) == static_cast<double>(values.view()(first + i, j));
  }
  CHECK(same);
  rows.read(1000, milkit::matrix_view<float>());
  CHECK_THROWS_AS(rows.read(0, out.view()), milkit::shape_error);
  tensor<float, 2> fit({64, 33});
  CHECK_THROWS_AS(rows.read(937, fit.view()), milkit::value_error);
  CHECK_THROWS_AS(rows.read(-1, fit.view()), milkit::value_error);
  has(refusal([&] { md::safetensors_reader(path).rows<double>("line"); }), "has shape [5], expected [rows, cols]");
  std::filesystem::resize_file(path, 2000);
  has(refusal([&] { rows.read(900, fit.view()); }), "ends before byte");
}

TEST_CASE("a header that lies about the file is refused") {
  const std::string fine = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  has(reader_refusal(""), "has 0 bytes");
  has(reader_refusal("1234567"), "has 7 bytes");
  has(reader_refusal(file_of(fine, 8, 1000)), "1000 bytes, expected at most 62");
  has(reader_refusal(file_of(fine, 8, std::numeric_limits<std::int64_t>::max())), "9223372036854775807 bytes");
  has(reader_refusal(std::string(8, '\xFF') + fine), "18446744073709551615 bytes");
  has(reader_refusal(file_of(fine, 7)), "has 7 bytes of data, expected 8");
  has(reader_refusal(file_of(fine, 9)), "has 9 bytes of data, expected 8");
}

TEST_CASE("tensors that overlap, leave holes or lie outside are refused") {
  const auto two = [](const char* first, const char* second) {
    return std::string(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)") + first +
           R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + second + "}}";
  };
  has(header_refusal(two("[0,8]", "[4,12]"), 12), "'b' begins at byte 4 of the data, expected 8 (it overlaps");
  has(header_refusal(two("[0,8]", "[0,8]"), 8), "overlaps");
  has(header_refusal(two("[0,8]", "[9,17]"), 17), "hole");
  has(header_refusal(two("[8,0]", "[8,16]"), 16), "expected [begin, end]");
  has(header_refusal(two("[0,8]", "[8,16]"), 8), "has 8 bytes of data, expected 16");
  has(header_refusal(two("[0,8]", "[9223372036854775799,9223372036854775807]"), 8), "hole");
  has(header_refusal(two("[0,8]", "[8,18446744073709551616]"), 8), "below 2^63");
  has(header_refusal(two("[0]", "[8,16]"), 16), "expected [begin, end]");
}

TEST_CASE("a size that is not the shape's is refused, also beyond 2^63") {
  const auto shaped = [](const char* extents) {
    return std::string(R"({"a":{"dtype":"F64","shape":)") + extents + R"(,"data_offsets":[0,8]}})";
  };
  has(header_refusal(shaped("[2]"), 8), "occupies 8 bytes, expected 16 for F64 [2]");
  has(header_refusal(shaped("[0]"), 8), "expected 0");
  has(header_refusal(shaped("[9223372036854775807]"), 8), "2^63");
  has(header_refusal(shaped("[4294967296,4294967296]"), 8), "2^63");
  has(header_refusal(shaped("[0,4294967296,4294967296]"), 8), "2^63");
  has(header_refusal(shaped("[9223372036854775808]"), 8), "below 2^63");
  has(header_refusal(shaped("[-1]"), 8), "whole number");
  has(header_refusal(shaped("[1.0]"), 8), "expected ]");
  has(header_refusal(shaped("[01]"), 8), "leading zeros");
}

TEST_CASE("a header that is not the format's grammar is refused") {
  has(header_refusal("", 0), "expected an object");
  has(header_refusal("[]", 0), "expected an object");
  has(header_refusal("{", 0), "expected");
  has(header_refusal("{}x", 0), "nothing but spaces");
  has(header_refusal(R"({"a":1})", 0), "expected {");
  has(header_refusal(R"({"a":{}})", 0), "lacks dtype");
  has(header_refusal(R"({"a":{"dtype":"F32"}})", 0), "lacks shape");
  has(header_refusal(R"({"a":{"dtype":"F12","shape":[],"data_offsets":[0,4]}})", 4), "unknown dtype 'F12'");
  has(header_refusal(R"({"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1),
      "repeated key 'dtype'");
  has(header_refusal(R"({"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":{}}})", 1), "'x'");
  const std::string a = R"("a":{"dtype":"U8","shape":[],"data_offsets":[0,1]})";
  has(header_refusal("{" + a + "," + a + "}", 1), "'a' occurs twice");
  has(header_refusal("{" + a + ",}", 1), "expected");
  has(header_refusal(R"({"__metadata__":{},"__metadata__":{}})", 0), "occurs twice");
  has(header_refusal(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "occurs twice");
  has(header_refusal(R"({"__metadata__":{"k":1}})", 0), "expected \"");
  has(header_refusal("{\"" + std::string(200000, '{'), 0), "end");
}

TEST_CASE("bad text in a header is refused, good escapes are read") {
  const auto named = [](const std::string& key) { return "{\"__metadata__\":{\"" + key + "\":\"\"}}"; };
  for (const char* bad :
       {"\\x", "\\u12g4", "\\ud800", "\\ud800x", "\\ud800\\n", "\\ud800\\u0041", "\\udc00", "\x01", "\xFF", "\xC0\x80",
        "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC3", "\x80"})
    header_refusal(named(bad), 0);
  const temporary_directory folder;
  const std::string header = named(R"(\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\udd2c)") + "   ";
  write_bytes(folder.path() / "good", file_of(header, 0));
  CHECK(md::safetensors_reader(folder.path() / "good").metadata().begin()->first ==
        "\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x94\xAC");
}

TEST_CASE("a full disk leaves the old tensors") {
  const temporary_directory folder;
  const auto path = folder.path() / "a.safetensors";
  const auto small = random_tensor<float>(shape<2>{2, 3}, 1), large = random_tensor<float>(shape<2>{200, 300}, 2);
  md::safetensors_writer before, after;
  before.add("weight", small.view());
  before.write(path);
  after.add("weight", large.view());
  {
    const full_disk limit(10000);
    has(refusal([&] { after.write(path); }), "a.safetensors: cannot be written: ");
  }
  CHECK(md::safetensors_reader(path).read<float, 2>("weight").rows() == 2);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("every corruption of a small file is read or refused") {
  const temporary_directory folder;
  const auto path = folder.path() / "small.safetensors";
  const auto values = random_tensor<float>(shape<2>{2, 3}, 1);
  const auto labels = random_tensor<std::int64_t>(shape<1>{3}, 2);
  md::safetensors_writer writer;
  writer.add("values", values.view());
  writer.add("labels", labels.view());
  writer.set_metadata("kind", "t\xC3\xA9st\n");
  writer.write(path);
  const std::string bytes = md::read_all(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const int refused = refused_corruptions(path, bytes, 8 + length, [](const std::filesystem::path& file) {
    const md::safetensors_reader reader(file);
    for (const auto& each : reader.tensors())
      static_cast<void>(reader.read<double>(each.name, md::conversion::nearest));
  });
  CHECK(refused > 1000);
}

TEST_CASE("every golden file is read") {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden_dir())) {
    if (entry.path().extension() != ".safetensors") continue;
    const md::safetensors_reader reader(entry.path());
    ++files;
    CHECK(reader.metadata().count("case") == 1);
    for (const auto& each : reader.tensors()) {
      const auto values = reader.read<double>(each.name, md::conversion::nearest).values;
      CHECK(static_cast<std::int64_t>(values.size()) * md::traits_of(each.type).bytes == each.bytes);
    }
  }
  CHECK(files > 0);
}
