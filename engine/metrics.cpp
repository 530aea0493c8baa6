#include "engine/metrics.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include "engine/error.h"
#include "engine/files.h"
#include "engine/json.h"

namespace {
// Keeps the lines of a file whose step is at most `step`, below a header: the disk may have been full when it was first
// written.
void keep_until(const std::filesystem::path& path, const std::string& header, int64_t step,
                const std::function<int64_t(const std::string&)>& step_of) {
  std::ifstream in(path);
  if (!in && header.empty()) return;
  std::string kept = header;
  for (std::string line; std::getline(in, line);)
    if (step_of(line) <= step) kept += line + "\n";
  write_atomically(path, [&](Writer& out) { out.write(kept); });
}

std::vector<std::filesystem::path> logs_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> logs;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool text = name == "metrics.csv" || name == "metrics.jsonl" || name == "inspect.csv" ||
                      name == "damaged.txt";
    if (text || name.ends_with(EventFile::suffix)) logs.push_back(entry.path());
  }
  return logs;
}
}  // namespace

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

LogSizes log_sizes(const std::filesystem::path& folder, const LogSizes& before) {
  LogSizes sizes;
  for (const std::filesystem::path& log : logs_in(folder)) {
    const std::string name = log.filename().string();
    sizes[name] = std::filesystem::file_size(log);
    if (const auto found = before.find(name); found == before.end() || found->second != sizes[name]) sync_file(log);
  }
  return sizes;
}

void cut_logs(const std::filesystem::path& folder, const LogSizes& saved) {
  for (const std::filesystem::path& log : logs_in(folder)) {
    const auto found = saved.find(log.filename().string());
    if (found == saved.end()) std::filesystem::remove(log);
    else if (std::filesystem::file_size(log) > found->second) std::filesystem::resize_file(log, found->second);
  }
}

CsvLog::CsvLog(std::filesystem::path path, std::vector<std::string> columns, int64_t step)
    : path_(std::move(path)), columns_(std::move(columns)) {
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
  append_line(path_, row);
}

Metrics::Metrics(const std::filesystem::path& folder, std::vector<std::string> columns, int64_t step)
    : jsonl_(folder / "metrics.jsonl"),
      csv_(folder / "metrics.csv", std::move(columns), step),
      events_(folder, step + (step > 0)) {
  keep_until(jsonl_, "", step, [](const std::string& line) {
    const auto row = parse_json(line);      // a line cut short by a kill is not kept
    return row.is_object() && row.contains("step") && row["step"].is_number_integer() ? row["step"].get<int64_t>()
                                                                                      : INT64_MAX;
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
  append_line(jsonl_, json_text(row));
  csv_.add(step, in_order);
}
