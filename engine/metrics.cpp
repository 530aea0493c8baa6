#include "engine/metrics.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include "engine/error.h"
#include "engine/files.h"
#include "engine/json.h"

namespace {
// Keeps the lines of a file whose step is at most `step`, below a header: the disk may have been full when it was first written.
void keep_until(const std::filesystem::path& path, const std::string& header, int64_t step,
                const std::function<int64_t(const std::string&)>& step_of) {
  std::ifstream in(path);
  if (!in && header.empty()) return;
  std::string kept = header;
  for (std::string line; std::getline(in, line);)
    if (step_of(line) <= step) kept += line + "\n";
  write_atomically(path, [&](Writer& out) { out.write(kept); });
}

void append(const std::filesystem::path& path, const std::string& line) {
  std::ofstream out(path, std::ios::app);
  out << line << "\n" << std::flush;
  if (!out) fail(ExitCode::failed, "{}: cannot be written; is the disk full?", path.string());
}
}  // namespace

double unix_time() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

CsvLog::CsvLog(std::filesystem::path path, std::vector<std::string> columns, int64_t step) : path_(std::move(path)), columns_(std::move(columns)) {
  std::string header = "step";
  for (const std::string& c : columns_) header += "," + c;
  keep_until(path_, header + "\n", step, [&](const std::string& line) -> int64_t {
    const bool row = std::count(line.begin(), line.end(), ',') == int64_t(columns_.size()) && !line.starts_with("step");
    return row ? std::atoll(line.c_str()) : INT64_MAX;
  });
}

void CsvLog::add(int64_t step, std::span<const double> values) {
  std::string row = std::to_string(step);
  for (const double value : values) row += std::isfinite(value) ? fmt::format(",{:.8g}", value) : ",";
  append(path_, row);
}

Metrics::Metrics(const std::filesystem::path& folder, std::vector<std::string> columns, int64_t step)
    : jsonl_(folder / "metrics.jsonl"), csv_(folder / "metrics.csv", std::move(columns), step), events_(folder) {
  keep_until(jsonl_, "", step, [](const std::string& line) {
    const auto row = parse_json(line);      // a line cut short by a kill is not kept
    return row.is_object() && row.contains("step") && row["step"].is_number_integer() ? row["step"].get<int64_t>() : INT64_MAX;
  });
}

void Metrics::add(int64_t step, const std::map<std::string, double>& values) {
  const double now = unix_time();
  nlohmann::ordered_json row{{"step", step}};
  std::vector<double> in_order;
  for (const std::string& c : csv_.columns()) {
    const auto value = values.find(c);
    in_order.push_back(value == values.end() ? std::nan("") : value->second);
    if (value == values.end()) continue;
    row[c] = value->second;
    events_.scalar(c, value->second, step, now);
  }
  append(jsonl_, json_text(row));
  csv_.add(step, in_order);
}
