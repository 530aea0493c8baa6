#include "models/page.h"
#include <fmt/format.h>
#include <openssl/evp.h>
#include "engine/text.h"

std::string page(const std::string& title, const std::string& body, const std::string& style) {
  return fmt::format(
      "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
      "content='width=device-width,initial-scale=1'><title>Relucent: {0}</title>\n"
      "<link rel=icon href='data:,'>\n<style>body{{font:16px/1.45 "
      "sans-serif;color:#111;background:#fff;max-width:76rem;margin:1rem auto;padding:0 1rem}}"
      "table{{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}}th,td{{padding:.25rem "
      ".6rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}}"
      "th:first-child,td:first-child{{text-align:left}}.map td{{text-align:center}}figure{{margin:1.5rem "
      "0}}svg{{width:100%;max-width:40rem;height:auto}}figcaption{{color:#444}}"
      ".many{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr));gap:1rem}}.many "
      "figure{{margin:.5rem 0}}"
      "summary{{cursor:pointer;margin:1rem 0}}{2}</style>\n<h1>{0}</h1>\n{1}</html>\n",
      escaped(title), body, style);
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : printable(text))
    result += c == '<' ? "&lt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string{c};
  return result;
}

std::string figure(const std::string& drawn, const std::string& what) {
  return "<figure>" + drawn + "<figcaption>" + what + "</figcaption></figure>\n";
}

std::string figures(const std::vector<std::string>& drawn, const std::vector<std::string>& what) {
  std::string html = "<div class=many>";
  for (size_t i = 0; i < drawn.size(); i++) html += figure(drawn[i], what[i]);
  return html + "</div>\n";
}

std::string table_row(const std::vector<std::string>& cells, const std::string& tag) {
  std::string row = "<tr>";
  for (const std::string& cell : cells) row += fmt::format("<{0}>{1}</{0}>", tag, escaped(cell));
  return row + "</tr>\n";
}

std::string data_uri(const std::string& type, std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // and the zero that EVP_EncodeBlock appends
  text.resize(size_t(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()), int(bytes.size()))));
  return "data:" + type + ";base64," + text;
}
