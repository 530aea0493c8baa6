#include "models/train_options.h"
#include <algorithm>
#include <charconv>
#include <cmath>
#include "models/attention_list.h"
#include "models/init.h"

std::vector<GridMember> TrainOptions::grid() const {
  std::vector<GridMember> members;
  for (const std::string& item : attention) {
    const size_t colon = item.find(':');
    const std::string name = item.substr(0, colon);
    std::vector<double> alphas = alpha;
    if (colon != std::string::npos) {
      alphas = {-1};
      const char* end = item.data() + item.size();
      if (const auto read = std::from_chars(item.data() + colon + 1, end, alphas[0]); read.ec != std::errc() || read.ptr != end || !(alphas[0] >= 0) || !std::isfinite(alphas[0]))
        fail(ExitCode::usage, "--attention: '{}', expected NAME or NAME:ALPHA with an alpha of at least 0", item);
    }
    const bool scaled = has_alpha(name);
    if (!scaled && colon != std::string::npos) fail(ExitCode::usage, "--attention: '{}': {} has no alpha", item, name);
    if (!scaled) alphas = {1};
    for (double a : alphas) members.push_back({name, a, scaled});
  }
  return members;
}

void TrainOptions::take_model_of_init(const CLI::App& app) {
  if (init.empty() || resume) return;
  const Stated stated = model.stated(app);
  const ViTConfig config = model_of(init, stated);
  model.take(config);
  if (stated.fields.contains("attention")) return;
  attention = {config.attention};
  if (!stated.fields.contains("alpha")) alpha = {config.alpha};
}

bool TrainOptions::takes_alpha() const {
  return std::any_of(attention.begin(), attention.end(), [](const std::string& item) { return item.find(':') == item.npos && has_alpha(item); });
}

int64_t TrainOptions::warmup_steps(int64_t total) const {
  size_t end = 0;
  double value = -1;
  try { value = std::stod(warmup, &end); } catch (const std::exception&) {}
  const bool percent = warmup.substr(end) == "%";
  if (!(value >= 0 && value < 1e15) || !(percent || (end == warmup.size() && value == std::floor(value))) || (percent && value >= 100))
    fail(ExitCode::usage, "--warmup: '{}', expected a number of updates or a share such as 10%", warmup);
  const int64_t steps = percent ? std::llround(value / 100 * double(total)) : int64_t(value);
  if (steps >= total) fail(ExitCode::usage, "--warmup: {} updates, expected fewer than the {} of the run", steps, total);
  return steps;
}
