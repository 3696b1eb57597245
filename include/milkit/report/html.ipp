#pragma once

#include <milkit/report/html.hpp>

namespace milkit::report {

MILKIT_INLINE html_page& html_page::key_figures(const std::vector<key_figure>& figures) {
  body_ += "<div class=\"figures\">\n";
  for (const key_figure& each : figures)
    body_ += message("<div class=\"figure\"><div class=\"label\">", escaped(each.label), "</div><div class=\"value\">",
                     escaped(each.value), "</div><div class=\"note\">", escaped(each.note), "</div></div>\n");
  body_ += "</div>\n";
  return *this;
}

MILKIT_INLINE html_page& html_page::section(std::string_view heading) {
  body_ += message("<h2>", escaped(heading), "</h2>\n");
  return *this;
}

MILKIT_INLINE html_page& html_page::paragraph(std::string_view text) {
  body_ += message("<p>", escaped(text), "</p>\n");
  return *this;
}

MILKIT_INLINE html_page& html_page::table(const std::vector<std::string>& header,
                                          const std::vector<std::vector<std::string>>& rows) {
  std::vector<bool> numeric(header.size(), !rows.empty());
  for (const auto& row : rows) {
    expect_extent("milkit::report::html_page::table", "cells in a row", static_cast<std::int64_t>(row.size()),
                  static_cast<std::int64_t>(header.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      numeric[i] =
          numeric[i] && (row[i].empty() || std::string_view("+-.0123456789").find(row[i][0]) != std::string_view::npos);
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

MILKIT_INLINE html_page& html_page::svg(std::string_view svg, std::string_view caption) {
  body_ += message("<figure class=\"card\">", svg, described(caption), "</figure>\n");
  return *this;
}

MILKIT_INLINE html_page& html_page::picture(view<const std::uint8_t, 3> picture, std::string_view caption) {
  body_ += message("<figure class=\"card\"><img alt=\"", escaped(caption), "\" width=\"", picture.extent(1),
                   "\" height=\"", picture.extent(0), "\" src=\"data:image/png;base64,",
                   base64(data::encode_png(picture)), "\">", described(caption), "</figure>\n");
  return *this;
}

MILKIT_INLINE std::string html_page::text() const {
  return message(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
      escaped(title_), "</title>\n<style>", style(), "</style>\n</head>\n<body>\n<main>\n<header><h1>", escaped(title_),
      "</h1>", subtitle_.empty() ? "" : "<p>" + escaped(subtitle_) + "</p>", "</header>\n", body_,
      "</main>\n</body>\n</html>\n");
}

}  // namespace milkit::report
