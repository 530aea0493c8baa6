// What the pages of eval have in common: one HTML file each that opens offline, black on white, legible on a phone.
// defines: page, escaped, figure, figures, table_row, data_uri
#pragma once
#include <string>
#include <string_view>
#include <vector>

// The whole page; `body` is HTML, `style` CSS beyond the common one.
std::string page(const std::string& title, const std::string& body, const std::string& style = "");

std::string escaped(const std::string& text);

// A plot or picture with a sentence that says what to look for.
std::string figure(const std::string& drawn, const std::string& what);

// Several beside each other where there is room.
std::string figures(const std::vector<std::string>& drawn, const std::vector<std::string>& what);

// <tr> of cells, escaped; tag: td or th
std::string table_row(const std::vector<std::string>& cells, const std::string& tag = "td");

// bytes as the value of src=; type: "image/png"
std::string data_uri(const std::string& type, std::string_view bytes);
