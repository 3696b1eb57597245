#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include <data/corruption.hpp>
#include <milkit/data/npy.hpp>

namespace md = milkit::data;
using namespace milkit::test;
using milkit::shape;
using milkit::tensor;

namespace {

std::string npy_of(const std::string& dictionary, std::size_t data, int version = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(dictionary.size() >> (8 * i) & 0xFF);
  return bytes + dictionary + std::string(data, '\0');
}

std::string npy_refusal(const std::string& bytes) {
  const temporary_directory folder;
  write_bytes(folder.path() / "bad.npy", bytes);
  const std::string text = refusal([&] { md::read_npy<double>(folder.path() / "bad.npy"); });
  has(text, "bad.npy");
  return text;
}

template <class T, int Rank>
void check_round_trip(shape<Rank> extents) {
  const temporary_directory folder;
  const auto path = folder.path() / "a.npy";
  tensor<T, Rank> values(extents);
  for (std::int64_t i = 0; i < values.size(); ++i) values.data()[i] = static_cast<T>(7 * i - 20);
  md::write_npy(path, values.view());
  const auto back = md::read_npy<T, Rank>(path);
  CHECK(back.shape() == extents);
  CHECK(std::vector<T>(back.data(), back.data() + back.size()) ==
        std::vector<T>(values.data(), values.data() + values.size()));
  const auto any = md::read_npy<T>(path);
  CHECK(any.shape == std::vector<std::int64_t>(extents.extent, extents.extent + Rank));
  CHECK(any.values.size() == static_cast<std::size_t>(values.size()));
  const std::string bytes = md::read_all(path);
  CHECK(static_cast<std::int64_t>(bytes.size()) % 64 == values.size() * static_cast<std::int64_t>(sizeof(T)) % 64);
}

}  // namespace

TEST_CASE("arrays of one to three dimensions come back") {
  check_round_trip<float>(shape<1>{257});
  check_round_trip<double>(shape<2>{31, 33});
  check_round_trip<std::int32_t>(shape<3>{3, 5, 7});
  check_round_trip<std::int64_t>(shape<2>{1, 1});
  check_round_trip<std::uint8_t>(shape<2>{5, 3});
  check_round_trip<float>(shape<2>{0, 4});
}

TEST_CASE("a strided view is written without its gaps") {
  const temporary_directory folder;
  tensor<float, 2> wide({3, 5});
  for (int i = 0; i < 15; ++i) wide.data()[i] = static_cast<float>(i);
  md::write_npy(folder.path() / "a.npy", milkit::matrix_view<float>(wide.data(), {3, 2}, 5));
  CHECK(md::read_npy<float>(folder.path() / "a.npy").values == std::vector<float>{0, 1, 5, 6, 10, 11});
}

TEST_CASE("headers as NumPy writes them, in three versions, are read") {
  const temporary_directory folder;
  for (const int version : {1, 2, 3}) {
    std::string bytes = npy_of("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 2), }   \n", 16, version);
    bytes[bytes.size() - 4] = 9;
    write_bytes(folder.path() / "a.npy", bytes);
    CHECK(md::read_npy<double, 2>(folder.path() / "a.npy").view()(1, 1) == 9);
  }
  write_bytes(folder.path() / "scalar.npy", npy_of("{'descr':'<f8','fortran_order':False,'shape':()}", 8));
  CHECK(md::read_npy<double>(folder.path() / "scalar.npy").values == std::vector<double>{0});
}

TEST_CASE("another rank or element type is refused, with what was got and wanted") {
  const temporary_directory folder;
  const tensor<double, 2> values({3, 4});
  md::write_npy(folder.path() / "a.npy", values.view());
  has(refusal([&] { md::read_npy<double, 1>(folder.path() / "a.npy"); }), "has shape [3, 4], expected 1 dimension");
  has(refusal([&] { md::read_npy<float, 2>(folder.path() / "a.npy"); }), "is F64, expected F32");
  CHECK(md::read_npy<float, 2>(folder.path() / "a.npy", md::conversion::nearest).rows() == 3);
}

TEST_CASE("hostile npy files are refused") {
  const std::string tail = "'fortran_order': False, 'shape': (2,), }";
  has(npy_refusal(""), "is no npy file");
  has(npy_refusal("\x93NUMPZ\x01"), "is no npy file");
  has(npy_refusal(npy_of("{'descr': '<f8', " + tail, 16, 4)), "version 4");
  has(npy_refusal(npy_of("{'descr': '>f8', " + tail, 16)), "big-endian");
  has(npy_refusal(npy_of("{'descr': '|O', " + tail, 16)), "element type '|O'");
  has(npy_refusal(npy_of("{'descr': '<c8', " + tail, 16)), "element type '<c8'");
  has(npy_refusal(npy_of("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }", 32)), "Fortran order");
  has(npy_refusal(npy_of("{'descr': '<f8', " + tail, 15)), "occupies 15 bytes, expected 16");
  has(npy_refusal(npy_of("{'descr': '<f8', " + tail, 17)), "occupies 17 bytes, expected 16");
  const auto shaped = [](const std::string& extents) {
    return npy_refusal(npy_of("{'descr': '<f8', 'fortran_order': False, 'shape': " + extents + ", }", 16));
  };
  has(shaped("(9223372036854775807,)"), "2^63");
  has(shaped("(4294967296, 4294967296)"), "2^63");
  has(shaped("(9223372036854775808,)"), "extent");
  has(shaped("(-2,)"), "extent");
  has(shaped("(2"), "expected");
  has(npy_refusal(npy_of("{'descr': '<f8', }", 16)), "expected the keys");
  has(npy_refusal(npy_of("{'descr': '<f8', 'descr': '<f8', " + tail, 16)), "repeated key 'descr'");
  std::string long_header = npy_of("{'descr': '<f8', " + tail, 16, 2);
  long_header[11] = '\x7F';
  has(npy_refusal(long_header), "bytes, expected at most");
}

TEST_CASE("every corruption of a small npy file is read or refused") {
  const temporary_directory folder;
  const auto path = folder.path() / "small.npy";
  const tensor<float, 2> values({2, 3});
  md::write_npy(path, values.view());
  const std::string bytes = md::read_all(path);
  CHECK(refused_corruptions(path, bytes, bytes.size() - 24, [](const std::filesystem::path& file) {
          static_cast<void>(md::read_npy<double>(file, md::conversion::nearest));
        }) > 300);
}
