#include <doctest/doctest.h>

#include <string>

#include <milkit/report/curves.hpp>
#include <milkit/report/html.hpp>
#include <support/paths.hpp>

using namespace milkit::report;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("text is escaped everywhere") {
  const std::string bad = "<script>\"'&";
  html_page page(bad, bad);
  page.key_figures({{bad, bad, bad}}).section(bad).paragraph(bad).table({bad}, {{bad}});
  page.picture(milkit::tensor<std::uint8_t, 3>({1, 1, 3}).view(), bad).svg("<svg></svg>", bad);
  CHECK_FALSE(has(page.text(), "<script>"));
  CHECK(has(page.text(), "&lt;script&gt;&quot;&#39;&amp;"));
  CHECK(escaped("a\x01\tb") == "a&#xFFFD;\tb");
}

TEST_CASE("base64 is that of RFC 4648") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64(std::string("\xFF\xFE\x00", 3)) == "//4A");
}

TEST_CASE("a page stands alone: nothing in it is fetched") {
  html_page page("Musk 1");
  page.svg(curves_svg({.title = "loss", .lines = {{"a", {1, 2}}}}), "Loss");
  page.picture(milkit::tensor<std::uint8_t, 3>({2, 2, 3}).view());
  std::string text = page.text();
  const std::string name = "http://www.w3.org/2000/svg";
  for (auto at = text.find(name); at != text.npos; at = text.find(name)) text.erase(at, name.size());
  CHECK_FALSE(has(text, "http"));
  CHECK_FALSE(has(text, "<script"));
  CHECK_FALSE(has(text, "<link"));
  CHECK(has(text, "data:image/png;base64,iVBOR"));
  CHECK(has(text, "prefers-color-scheme:dark"));
}

TEST_CASE("columns of numbers are flush right, and ragged rows refused") {
  html_page page("t");
  page.table({"name", "value"}, {{"a", "1.5"}, {"b", "-2"}});
  CHECK(has(page.text(), "<td>a</td><td class=\"number\">1.5</td>"));
  CHECK_THROWS_AS(page.table({"a", "b"}, {{"1"}}), milkit::shape_error);
}

TEST_CASE("a page is written") {
  const milkit::test::temporary_directory folder;
  html_page page("t");
  page.write(folder.path() / "report.html");
  CHECK(milkit::data::read_all(folder.path() / "report.html") == page.text());
}
