// The trainings of one command: its data, and each member of its grid one after another.
// defines: train_grid
#pragma once
#include <functional>
#include "models/train_options.h"

// Trains all members in folders of --out, or in it where there is one, and writes the table of what came of them.
// Whatever a start could destroy is refused before anything is written; `at_start` comes once nothing can refuse it any
// more. Returns the exit status.
int train_grid(CLI::App& app, TrainOptions& options, const std::function<void()>& at_start);
