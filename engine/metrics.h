// The numbers of a run, kept in three forms: metrics.jsonl (a JSON object a line), metrics.csv and TensorBoard's event files.
// defines: Metrics
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>
#include "engine/tensorboard.h"

class Metrics {
 public:
  // Rows of `folder` after `step` are of a run that was killed before it saved; they are dropped.
  Metrics(const std::filesystem::path& folder, std::vector<std::string> columns, int64_t step);
  // Only names of `columns`; absent ones stay empty. A value that is not finite is written as null.
  void add(int64_t step, const std::map<std::string, double>& values);

 private:
  void append(const char* file, const std::string& line);
  std::filesystem::path folder_;
  std::vector<std::string> columns_;
  EventFile events_;
};
