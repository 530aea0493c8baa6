// The images of a training: what it learns from, and what it is evaluated on.
// defines: TrainingData, split_of_folder, open_training_data
#pragma once
#include <optional>
#include <string>
#include "data/index.h"
#include "models/train_options.h"

struct TrainingData {
  Index train;
  std::optional<Index> val;  // of --val, or held out of --train
  int classes;               // of the head
};

// Where --train names a folder with train/ and val/ in it: these two, as far as --val and --holdout leave room; says so
// on stderr. A folder whose classes are named so is left as it is.
void split_of_folder(TrainOptions& options);

// Opens both, and says on stderr what they hold. Labels of both count the classes of the head.
TrainingData open_training_data(const TrainOptions& options);
