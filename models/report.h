// One page that compares runs: a table, accuracy by attention function and exponent of L, and curves.
// defines: RunSummary, read_runs, report_table, report_json, report_page
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

struct RunSummary {
  std::string folder, name, attention;  // name: the folder, as seen from the one that all runs compared are in
  double alpha = 1;
  bool scaled = true, qk_norm = false, gate = false;       // scaled: α matters
  int64_t steps = 0, step = 0;                             // planned, done
  std::string seed;
  double best_accuracy = -1, last_accuracy = -1;           // on the validation images; -1: none yet
  double best_loss = 0, last_loss = 0;                     // of the same evaluations
  int64_t best_step = 0, last_step = 0;                    // after which they were
  double images_per_second = 0;                            // in training, the mean of what was logged
  std::vector<std::pair<double, double>> loss, accuracy;   // training loss and validation accuracy by step
  std::string options;                                     // of attention, beside these: ", output-norm rela"
  std::string others;  // the flags that change the model or its training, beside attention, alpha and seed
  std::string function() const;                            // "relu, gate"
};

// Every run in these folders and below them, in the order of their names. Data error where there is none, or one is
// damaged.
std::vector<RunSummary> read_runs(const std::vector<std::string>& folders);

std::string report_table(const std::vector<RunSummary>& runs);     // plain text
std::string report_json(const std::vector<RunSummary>& runs);

// The page, which needs no other file.
std::string report_page(const std::vector<RunSummary>& runs);
