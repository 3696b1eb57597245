#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <milkit/data/png.hpp>
#include <milkit/report/markup.hpp>

namespace milkit::report {

/// A figure that stands out: `{"accuracy", "0.903", "10 folds, std 0.031"}`.
struct key_figure {
  std::string label, value, note = {};
};

/// One self-contained page: no file beside it, no network, no script. It follows the reader's light or dark screen and
/// prints. Parts appear in the order in which they are added; all text is escaped.
///
///     html_page page("Musk 1", "gated attention, 10 folds x 5");
///     page.key_figures({{"accuracy", "0.903"}}).section("Training").svg(curves_svg(loss), "Loss");
///     page.write("report.html");
class html_page {
 public:
  explicit html_page(std::string title, std::string subtitle = {})
      : title_(std::move(title)), subtitle_(std::move(subtitle)) {}

  html_page& key_figures(const std::vector<key_figure>& figures) {
    body_ += "<div class=\"figures\">\n";
    for (const key_figure& each : figures)
      body_ +=
          message("<div class=\"figure\"><div class=\"label\">", escaped(each.label), "</div><div class=\"value\">",
                  escaped(each.value), "</div><div class=\"note\">", escaped(each.note), "</div></div>\n");
    body_ += "</div>\n";
    return *this;
  }
  html_page& section(std::string_view heading) {
    body_ += message("<h2>", escaped(heading), "</h2>\n");
    return *this;
  }
  html_page& paragraph(std::string_view text) {
    body_ += message("<p>", escaped(text), "</p>\n");
    return *this;
  }

  /// A table; columns whose every cell begins like a number are set flush right. A row of another length than the
  /// header: shape_error.
  html_page& table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows) {
    std::vector<bool> numeric(header.size(), !rows.empty());
    for (const auto& row : rows) {
      expect_extent("milkit::report::html_page::table", "cells in a row", static_cast<std::int64_t>(row.size()),
                    static_cast<std::int64_t>(header.size()));
      for (std::size_t i = 0; i < row.size(); ++i)
        numeric[i] = numeric[i] &&
                     (row[i].empty() || std::string_view("+-.0123456789").find(row[i][0]) != std::string_view::npos);
    }
    const auto line = [&](const std::vector<std::string>& cells, std::string_view tag) {
      body_ += "<tr>";
      for (std::size_t i = 0; i < cells.size(); ++i)
        body_ += message("<", tag, numeric[i] ? " class=\"number\">" : ">", escaped(cells[i]), "</", tag, ">");
      body_ += "</tr>\n";
    };
    body_ += "<div class=\"scroll\"><table>\n<thead>";
    line(header, "th");
    body_ += "</thead>\n<tbody>\n";
    for (const auto& row : rows) line(row, "td");
    body_ += "</tbody></table></div>\n";
    return *this;
  }

  /// An SVG document of ours (`curves_svg`), placed as it is.
  html_page& svg(std::string_view svg, std::string_view caption = {}) {
    body_ += message("<figure class=\"card\">", svg, described(caption), "</figure>\n");
    return *this;
  }
  /// A picture [height, width, 1, 3 or 4], kept inside the page as PNG.
  html_page& picture(view<const std::uint8_t, 3> picture, std::string_view caption = {}) {
    body_ += message("<figure class=\"card\"><img alt=\"", escaped(caption), "\" width=\"", picture.extent(1),
                     "\" height=\"", picture.extent(0), "\" src=\"data:image/png;base64,",
                     base64(data::encode_png(picture)), "\">", described(caption), "</figure>\n");
    return *this;
  }

  std::string text() const {
    return message(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
        escaped(title_), "</title>\n<style>", style(), "</style>\n</head>\n<body>\n<main>\n<header><h1>",
        escaped(title_), "</h1>", subtitle_.empty() ? "" : "<p>" + escaped(subtitle_) + "</p>", "</header>\n", body_,
        "</main>\n</body>\n</html>\n");
  }
  void write(const std::filesystem::path& path) const { data::write_all(path, text()); }

 private:
  static std::string described(std::string_view caption) {
    return caption.empty() ? "" : message("<figcaption>", escaped(caption), "</figcaption>");
  }

  static constexpr const char* style() {
    return R"css(
:root{color-scheme:light dark;--ground:#f5f6f9;--card:#fff;--ink:#1c2230;--soft:#5b6477;--line:#e1e5ec;--mark:#2f5fd0}
@media(prefers-color-scheme:dark){:root{--ground:#12151c;--card:#1b202b;--ink:#eef1f6;--soft:#9aa4b6;--line:#2c3342;
--mark:#7ea6ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 24px 72px}
header{border-left:4px solid var(--mark);padding-left:16px;margin-bottom:28px}
h1{font-size:28px;line-height:1.2;margin:0}
header p{margin:6px 0 0;color:var(--soft)}
h2{font-size:19px;margin:40px 0 14px}
p{max-width:72ch}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:14px;margin:18px 0}
.figure,.card,.scroll{background:var(--card);border:1px solid var(--line);border-radius:12px}
.figure{padding:16px 18px}
.label{color:var(--soft);font-size:13px}
.value{font-size:30px;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}
.note{color:var(--soft);font-size:13px}
.card{margin:14px 0;padding:18px;overflow-x:auto}
.card img,.card svg{display:block;max-width:100%;height:auto;margin:0 auto;border-radius:6px}
.card svg{width:860px}
figcaption{color:var(--soft);font-size:14px;margin-top:12px}
.scroll{overflow-x:auto;margin:14px 0}
table{border-collapse:collapse;width:100%;font-size:15px}
th,td{padding:9px 16px;text-align:left;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--soft);font-weight:600;font-size:13px}
.number{text-align:right;font-variant-numeric:tabular-nums}
@media print{body{background:#fff}.card,.figure,.scroll{break-inside:avoid}}
)css";
  }

  std::string title_, subtitle_, body_;
};

}  // namespace milkit::report
