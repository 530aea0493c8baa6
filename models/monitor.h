// Looks inside while a model trains: every so many updates the statistics of attention go to inspect.csv (a row for
// each layer and head) and to TensorBoard (scalars and histograms of each layer), with the numbers that attention
// learns, if any.
// defines: Monitor
#pragma once
#include "engine/metrics.h"
#include "models/learned.h"
#include "models/statistics.h"
#include "models/vit.h"

class Monitor {
 public:
  // `images` pass at a time; rows of `folder` from `step` on are dropped.
  Monitor(const ViT& vit, const std::filesystem::path& folder, int64_t every, int images, int64_t step,
          EventFile& events);

  // Whether to look at the next update, with `step` done: at 0, every, 2 every, ...
  bool due(int64_t step) const { return step % every_ == 0; }
  std::span<AttentionProbe* const> probes();                   // one a block, for that update
  void write(int64_t step);                                    // once it has run

  void timed(double seconds, bool looked);                     // what an update took
  std::string cost() const;  // what looking cost, in a line; by medians, as other programs disturb

 private:
  const ViT& vit_;
  int64_t every_;
  int images_;
  std::vector<std::vector<LearnedNumber>> learned_;            // [layer], before the update
  CsvLog csv_;
  EventFile& events_;
  std::vector<std::unique_ptr<AttentionStatistics>> statistics_;
  std::vector<AttentionProbe*> probes_;
  std::vector<double> looked_, others_;                        // seconds of each update, but the first, which allocates
  bool first_ = true;
};
