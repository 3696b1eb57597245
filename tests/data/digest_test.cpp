#include <milkit/data/digest.hpp>

#include <doctest/doctest.h>

#include <set>

#include <data/corruption.hpp>

namespace md = milkit::data;
using namespace milkit::test;

TEST_CASE("digest: where texts end, one bit and one byte more -> others") {
  std::set<std::string> all;
  all.insert(md::digest().add("a").add("bc").text());
  all.insert(md::digest().add("ab").add("c").text());
  all.insert(md::digest().add("abc").text());
  for (std::size_t length = 0; length < 40; ++length) {
    std::string zeros(length, '\0');
    all.insert(md::digest().add(zeros).text());
    for (std::size_t i = 0; i < length; ++i)
      for (int bit = 0; bit < 8; ++bit) {
        std::string changed = zeros;
        changed[i] = static_cast<char>(1 << bit);
        all.insert(md::digest().add(changed).text());
      }
  }
  CHECK(all.size() == 3 + 40 + 8 * 39 * 40 / 2);
  CHECK(md::digest().add("abc").text().size() == 32);
}

TEST_CASE("file_digest: content of the same length -> another; a copy -> the same") {
  const temporary_directory folder;
  const auto one = folder.path() / "one", two = folder.path() / "two";
  const std::string bytes(3'000'001, 'x');
  write_bytes(one, bytes);
  write_bytes(two, bytes);
  CHECK(md::file_digest(one) == md::file_digest(two));
  for (const std::size_t at : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
    std::string changed = bytes;
    changed[at] = 'y';
    write_bytes(two, changed);
    CHECK(md::file_digest(one) != md::file_digest(two));
  }
  has(refusal([&] { md::file_digest(folder.path() / "none"); }), "none: cannot be opened");
}
