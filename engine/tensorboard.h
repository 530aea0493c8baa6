// TensorBoard's event files: curves that `tensorboard --logdir` draws while the training runs.
// defines: EventFile
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "engine/histogram.h"

class EventFile {
 public:
  // How the names of its files end, which are those of no other program.
  static constexpr std::string_view suffix = ".relucent";

  // A new file in the folder, which is made where it is not there yet, with a name after those of the files that are
  // there: TensorBoard joins them. Where a run goes on, `first_step` says with which step: what TensorBoard holds from
  // there on is void.
  explicit EventFile(const std::filesystem::path& folder, std::optional<int64_t> first_step = {});
  EventFile(const EventFile&) = delete;
  ~EventFile();

  // In the file when it returns. `wall_time`: seconds since 1970
  void scalar(std::string_view tag, double value, int64_t step, double wall_time);
  // Range, sum and sum of squares are those of the values that were counted.
  void histogram(std::string_view tag, const Histogram& counted, double min, double max, double sum, double squares,
                 int64_t step, double wall_time);

 private:
  void append(std::string_view event);

  std::filesystem::path path_;
  int file_;
};
