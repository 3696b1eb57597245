#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <milkit/core/macros.hpp>
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

  MILKIT_INLINE html_page& key_figures(const std::vector<key_figure>& figures);
  MILKIT_INLINE html_page& section(std::string_view heading);
  MILKIT_INLINE html_page& paragraph(std::string_view text);

  /// A table; columns whose every cell begins like a number are set flush right. A row of another length than the
  /// header: shape_error.
  MILKIT_INLINE html_page& table(const std::vector<std::string>& header,
                                 const std::vector<std::vector<std::string>>& rows);

  /// An SVG document of ours (`curves_svg`), placed as it is.
  MILKIT_INLINE html_page& svg(std::string_view svg, std::string_view caption = {});
  /// A picture [height, width, 1, 3 or 4], kept inside the page as PNG.
  MILKIT_INLINE html_page& picture(view<const std::uint8_t, 3> picture, std::string_view caption = {});

  MILKIT_INLINE std::string text() const;
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

#if !defined(MILKIT_COMPILED)
#include <milkit/report/html.ipp>
#endif
