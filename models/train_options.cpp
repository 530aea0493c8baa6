#include "models/train_options.h"
#include <algorithm>
#include <charconv>
#include <cmath>
#include "engine/text.h"
#include "models/attention/list.h"
#include "models/init.h"

std::vector<GridMember> TrainOptions::grid() const {
  std::vector<GridMember> members;
  for (size_t i = 0; i < seeds.size(); i++)
    if (std::count(seeds.begin(), seeds.end(), seeds[i]) > 1)
      fail(ExitCode::usage, "--seed: {} stands twice in the list, expected each seed once", seeds[i]);
  for (const std::string& item : attention) {
    const size_t colon = item.find(':');
    const std::string name = item.substr(0, colon);
    std::vector<double> alphas = alpha;
    if (colon != std::string::npos) {
      alphas = {-1};
      const char* end = item.data() + item.size();
      if (const auto read = std::from_chars(item.data() + colon + 1, end, alphas[0]);
          read.ec != std::errc() || read.ptr != end || !(alphas[0] >= 0) || !std::isfinite(alphas[0]))
        fail(ExitCode::usage, "--attention: '{}', expected NAME or NAME:ALPHA with an alpha of at least 0", item);
    }
    const bool scaled = has_alpha(name);
    if (!scaled && colon != std::string::npos) fail(ExitCode::usage, "--attention: '{}': {} has no alpha", item, name);
    if (!scaled) alphas = {1};
    for (double a : alphas)
      for (const uint64_t seed : seeds) members.push_back({name, a, scaled, seed, seeds.size() > 1});
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
  return std::any_of(attention.begin(), attention.end(),
                     [](const std::string& item) { return item.find(':') == item.npos && has_alpha(item); });
}

// A number of `things`, or a share of `total` such as 10%; usage error where the text is neither.
static int64_t number_or_share(const char* flag, const std::string& text, int64_t total, const char* things) {
  size_t end = 0;
  double value = -1;
  try { value = std::stod(text, &end); } catch (const std::exception&) {}
  const bool percent = text.substr(end) == "%";
  if (!(value >= 0 && value < 1e15) || !(percent || (end == text.size() && value == std::floor(value))) ||
      (percent && value >= 100))
    fail(ExitCode::usage, "{}: '{}', expected a number of {} or a share such as 10%", flag, text, things);
  return percent ? std::llround(value / 100 * double(total)) : int64_t(value);
}

size_t TrainOptions::held_out(size_t images) const {
  return holdout.empty() ? 0 : size_t(number_or_share("--holdout", holdout, int64_t(images), "images"));
}

int64_t TrainOptions::evaluation_steps(size_t images, int64_t total) const {
  constexpr int64_t most = 20;
  return eval_every.value_or(std::max<int64_t>({1, std::llround(double(images) / batch), (total + most - 1) / most}));
}

std::string TrainOptions::command_to_resume() const {
  return "build/train --resume --out " + shell_word(resumed_from.empty() ? out : resumed_from);
}

int64_t TrainOptions::warmup_steps(int64_t total) const {
  const int64_t steps = number_or_share("--warmup", warmup, total, "updates");
  if (steps >= total)
    fail(ExitCode::usage, "--warmup: {} updates, expected fewer than the {} of the run", steps, total);
  return steps;
}
