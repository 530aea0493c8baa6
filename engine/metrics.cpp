#include "engine/metrics.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include "engine/error.h"
#include "engine/files.h"

namespace {
// Keeps the lines of a file whose step is at most `step`.
void keep_until(const std::filesystem::path& path, int64_t step, const std::function<int64_t(const std::string&)>& step_of) {
  std::ifstream in(path);
  if (!in) return;
  std::string kept;
  for (std::string line; std::getline(in, line);)
    if (step_of(line) <= step) kept += line + "\n";
  write_atomically(path, [&](Writer& out) { out.write(kept); });
}
}  // namespace

Metrics::Metrics(const std::filesystem::path& folder, std::vector<std::string> columns, int64_t step)
    : folder_(folder), columns_(std::move(columns)), events_(folder) {
  keep_until(folder_ / "metrics.jsonl", step, [](const std::string& line) {
    const auto row = nlohmann::json::parse(line, nullptr, false);      // a line cut short by a kill is not kept
    return row.is_object() && row.contains("step") && row["step"].is_number_integer() ? row["step"].get<int64_t>() : INT64_MAX;
  });
  keep_until(folder_ / "metrics.csv", step, [&](const std::string& line) -> int64_t {
    if (std::count(line.begin(), line.end(), ',') != int64_t(columns_.size())) return INT64_MAX;
    return line.starts_with("step") ? 0 : std::atoll(line.c_str());
  });
  if (!std::filesystem::exists(folder_ / "metrics.csv")) {
    std::string header = "step";
    for (const std::string& c : columns_) header += "," + c;
    append("metrics.csv", header);
  }
}

void Metrics::append(const char* file, const std::string& line) {
  std::ofstream out(folder_ / file, std::ios::app);
  out << line << "\n" << std::flush;
  if (!out) fail(ExitCode::failed, "{}: cannot be written; is the disk full?", (folder_ / file).string());
}

void Metrics::add(int64_t step, const std::map<std::string, double>& values) {
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  nlohmann::ordered_json row{{"step", step}};
  std::string csv = std::to_string(step);
  for (const std::string& c : columns_) {
    const auto value = values.find(c);
    csv += ",";
    if (value == values.end()) continue;
    row[c] = value->second;
    if (std::isfinite(value->second)) csv += fmt::format("{:.8g}", value->second);
    events_.scalar(c, value->second, step, now);
  }
  append("metrics.jsonl", row.dump());
  append("metrics.csv", csv);
}
