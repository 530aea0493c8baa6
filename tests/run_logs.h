// What the logs of a run say, without times and speeds, which no two runs share: to compare runs row by row.
// defines: rows_of_csv, rows_of_jsonl, events_of, check_same_logs
#pragma once
#include <algorithm>
#include <cstring>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/text.h"
#include "tests/run_program.h"

using Rows = std::vector<std::string>;

inline Rows lines_of(const std::filesystem::path& file) {
  Rows lines;
  std::istringstream text(read_text(file));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

inline bool of_time(const std::string& column) { return column == "images_per_second" || column == "data_wait"; }

inline Rows rows_of_csv(const std::filesystem::path& file) {
  Rows rows;
  std::vector<std::string> header;
  for (const std::string& line : lines_of(file)) {
    const std::vector<std::string> cells = split(line, ",");
    if (header.empty()) header = cells;
    REQUIRE(cells.size() == header.size());
    std::string row;
    for (size_t i = 0; i < cells.size(); i++)
      if (!of_time(header[i])) row += cells[i] + ",";
    rows.push_back(row);
  }
  return rows;
}

inline Rows rows_of_jsonl(const std::filesystem::path& file) {
  Rows rows;
  for (const std::string& line : lines_of(file)) {
    auto row = nlohmann::ordered_json::parse(line);
    for (const char* column : {"images_per_second", "data_wait"}) row.erase(column);
    rows.push_back(row.dump());
  }
  return rows;
}

// The summaries in all event files of a run, in the order of the files' names, each as its bytes after the wall time:
// step, then tag and scalar or histogram. A record is its length (8 bytes), a checksum (4), the event, a checksum (4).
inline Rows events_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  Rows events;
  for (const auto& file : files) {
    const std::string bytes = read_text(file);
    size_t at = 0;
    while (at < bytes.size()) {
      uint64_t length = 0;
      REQUIRE(bytes.size() - at >= 16);
      std::memcpy(&length, &bytes[at], sizeof length);
      REQUIRE(bytes.size() - at >= 16 + length);
      const std::string event = bytes.substr(at + 12 + 9, length - 9);    // field 1, a double, comes first
      const bool version = event.starts_with("\x1a"), session = event.find("\x3a\x02\x08\x01") != event.npos;
      const bool time = event.find("images_per_second") != event.npos || event.find("data_wait") != event.npos;
      if (!version && !session && !time) events.push_back(event);
      at += 16 + length;
    }
  }
  return events;
}

inline void check_same_logs(const std::filesystem::path& a, const std::filesystem::path& b) {
  CAPTURE(b.string());
  CHECK(rows_of_csv(a / "metrics.csv") == rows_of_csv(b / "metrics.csv"));
  CHECK(rows_of_jsonl(a / "metrics.jsonl") == rows_of_jsonl(b / "metrics.jsonl"));
  CHECK(lines_of(a / "inspect.csv") == lines_of(b / "inspect.csv"));
  CHECK(lines_of(a / "damaged.txt") == lines_of(b / "damaged.txt"));
  CHECK(events_of(a) == events_of(b));
}
