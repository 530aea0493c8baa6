#include "models/run_log.h"

#include <fmt/format.h>
#include <string>

#include "engine/json.h"
#include "engine/text.h"

namespace {
constexpr int64_t most_steps = int64_t(1) << 53;

// False where the value is there, but no number from `low` to `high`, nor null, which stands for one that is not
// finite.
bool take(const nlohmann::json& row, const char* name, double low, double high, std::optional<double>& value) {
  const auto found = row.find(name);
  if (found == row.end() || found->is_null()) return true;
  if (!found->is_number()) return false;
  value = found->get<double>();
  return *value >= low && *value <= high;
}

// What is wrong with the line; or "".
std::string take_row(const std::string& line, RunRow& taken) {
  const nlohmann::json row = parse_json(line);
  if (!row.is_object()) return "expected a JSON object";
  const auto step = row.find("step");
  if (step == row.end() || !step->is_number_integer() || step->get<int64_t>() < 0 || step->get<int64_t>() > most_steps)
    return "expected a whole number 'step'";
  taken.step = step->get<int64_t>();
  constexpr double any = 1.7e308;
  if (!take(row, "loss", -any, any, taken.loss)) return "expected a number 'loss'";
  if (!take(row, "images_per_second", 0, any, taken.images_per_second)) return "expected a number 'images_per_second'";
  if (!take(row, "val_accuracy", 0, 1, taken.val_accuracy)) return "expected a number 'val_accuracy' from 0 to 1";
  if (!take(row, "val_loss", -any, any, taken.val_loss)) return "expected a number 'val_loss'";
  return "";
}
}

RunRows read_rows(const std::filesystem::path& file) {
  RunRows read;
  const std::string text = text_of_file(file);
  const std::vector<std::string> lines = lines_of(text);
  size_t left_out = 0;
  std::string first;
  for (size_t i = 0; i < lines.size(); i++) {
    RunRow row;
    const std::string wrong = take_row(lines[i], row);
    if (wrong.empty()) read.rows.push_back(row);
    else if (i + 1 < lines.size() || text.ends_with('\n'))
      if (left_out++ == 0) first = fmt::format("{}:{}: {}", file.string(), i + 1, wrong);
  }
  if (left_out) read.note = fmt::format("{}; {} line{} left out", first, left_out, left_out == 1 ? "" : "s");
  return read;
}
