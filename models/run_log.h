// The rows of a run's metrics.jsonl, as far as pages and tables need them.
// defines: RunRow, RunRows, read_rows
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

struct RunRow {
  int64_t step = 0;
  std::optional<double> loss, images_per_second, val_accuracy, val_loss;    // those that the row has
};

struct RunRows {
  std::vector<RunRow> rows;
  std::string note;    // of lines that are no such rows: how many, and what is wrong with the first, FILE:LINE; or ""
};

// A last line without its end is being written, and left out without a word.
RunRows read_rows(const std::filesystem::path& file);
