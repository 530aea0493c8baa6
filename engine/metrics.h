// The numbers of a run, kept in three forms: metrics.jsonl (a JSON object a line), metrics.csv and TensorBoard's event
// files.
// defines: unix_time, LogSizes, log_sizes, cut_logs, CsvLog, Metrics
#pragma once
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>
#include "engine/tensorboard.h"

double unix_time();                    // seconds since 1970

// Every log of a run's folder, by name, and its bytes. What a kill undoes is what the logs have beyond the last save,
// so a save keeps their sizes and a run that goes on cuts them.
using LogSizes = std::map<std::string, uint64_t>;
// They are on the disk when it returns; those of `before` are not synced again where they did not grow.
LogSizes log_sizes(const std::filesystem::path& folder, const LogSizes& before = {});
// Logs that `saved` does not have are removed.
void cut_logs(const std::filesystem::path& folder, const LogSizes& saved);

// A .csv with a row a step, or several.
class CsvLog {
 public:
  // Rows of a step after `step` are of a run that was killed before it saved; they are dropped.
  CsvLog(std::filesystem::path path, std::vector<std::string> columns, int64_t step);
  void add(int64_t step, std::span<const double> values);      // one for each column; not finite: empty
  const std::vector<std::string>& columns() const { return columns_; }

 private:
  std::filesystem::path path_;
  std::vector<std::string> columns_;
};

class Metrics {
 public:
  // Rows of `folder` after `step` are dropped, as above.
  Metrics(const std::filesystem::path& folder, std::vector<std::string> columns, int64_t step);
  // Only names of `columns`; absent ones stay empty. A value that is not finite is written as null.
  void add(int64_t step, const std::map<std::string, double>& values);
  EventFile& events() { return events_; }

 private:
  std::filesystem::path jsonl_;
  CsvLog csv_;
  EventFile events_;
};
