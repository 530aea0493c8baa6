#include "models/run_config.h"
#include <fmt/ranges.h>
#include <algorithm>
#include <fstream>
#include "data/index.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/text.h"
#include "models/checkpoint.h"
#include "models/weights.h"

namespace fs = std::filesystem;

void write_config(const fs::path& folder, const std::string& text) {
  fs::create_directories(folder);
  write_atomically(folder / "config.toml", [&](Writer& out) { out.write(text); });
}

static std::string here() { return fs::current_path().string(); }

bool stays_here(const std::string& source) {
  bool relative = false;
  for (const std::string& part : split(source, "::")) relative |= !part.empty() && part[0] != '/';
  return relative && (here().find_first_of("{}*?[]") != std::string::npos || here().find("::") != std::string::npos);
}

std::string from_anywhere(const std::string& source) {
  if (source.empty() || stays_here(source)) return source;
  std::vector<std::string> parts = split(source, "::");
  for (std::string& part : parts)
    if (!part.empty() && part[0] != '/') part = (fs::path(here()) / part).string();
  return fmt::format("{}", fmt::join(parts, "::"));
}

void check_members(const fs::path& folder, const std::vector<std::string>& members) {
  const bool run = fs::exists(folder / "last.state") || fs::exists(folder / "metrics.csv");
  if (run && !members.empty())
    fail(ExitCode::usage, "{} holds a single run, which members beside it would make unknown to --resume; choose "
         "another --out", folder.string());
  if (run || (!fs::exists(folder / "config.toml") && !fs::exists(folder / arguments_file))) return;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool begun = fs::exists(entry.path() / "config.toml") || fs::exists(entry.path() / arguments_file);
    if (begun && std::find(members.begin(), members.end(), name) == members.end())
      fail(ExitCode::usage,
           "{} holds {} too, which this command does not train and --resume would no longer know; name "
           "all members, or choose another --out",
           folder.string(), name);
  }
}

void check_start(const fs::path& folder, const std::map<std::string, std::string>& identity, int64_t steps, bool resume,
                 bool again) {
  const fs::path state = folder / "last.state";
  if (fs::exists(state)) {
    if (!resume && !(again && saved_step(state) >= steps))
      fail(ExitCode::usage, "{} holds a run already; go on with --resume, or choose another --out", folder.string());
    return check_identity(state, identity);
  }
  for (const char* name : {"best.safetensors", "average.safetensors", "last.safetensors"})
    if (fs::exists(folder / name))
      fail(ExitCode::usage, "{} has {} but no last.state, which a run goes on from: put that back, or start in another "
           "--out, with --init {} from these weights", folder.string(), name, (folder / name).string());
}

std::string value_of(const std::vector<std::string>& args, const std::string& flag) {
  std::string value;
  for (size_t i = 0; i < args.size(); i++) {
    if (args[i] == flag && i + 1 < args.size()) value = args[i + 1];
    if (args[i].starts_with(flag + "=")) value = args[i].substr(flag.size() + 1);
  }
  return value;
}

std::vector<std::string> with_folder_of_resume(std::vector<std::string> args) {
  for (size_t i = 0; i < args.size(); i++) {
    const bool assigned = args[i].starts_with("--resume="), alone = args[i] == "--resume";
    const bool followed = alone && i + 1 < args.size() && !args[i + 1].starts_with("-");
    if (!assigned && !alone) continue;
    if (assigned) args.insert(args.begin() + long(i) + 1, args[i].substr(args[i].find('=') + 1)), args[i] = "--resume";
    if (!assigned && !followed) break;
    if (const std::string out = value_of(args, "--out"); !out.empty())
      fail(ExitCode::usage, "--resume {} and --out {}: expected one of them, the folder of the run", args[i + 1], out);
    args.insert(args.begin() + long(i) + 1, "--out");
    break;
  }
  const bool resume = std::find(args.begin(), args.end(), "--resume") != args.end();
  if (resume && value_of(args, "--out").empty() && value_of(args, "--config").empty())
    fail(ExitCode::usage, "--resume needs the folder of the run: --resume RUN");
  return args;
}

std::vector<std::string> with_config_of_run(std::vector<std::string> args) {
  const std::string out = value_of(args, "--out");
  const bool resume = std::find(args.begin(), args.end(), "--resume") != args.end();
  if (resume && value_of(args, "--config").empty() && !out.empty()) {
    if (!fs::exists(fs::path(out) / "config.toml"))
      fail(ExitCode::usage, "--resume: {} holds no run (no config.toml)", out);
    args.insert(args.begin(), {"--config", (fs::path(out) / "config.toml").string()});
  }
  std::reverse(args.begin(), args.end());          // as CLI11 takes them
  return args;
}

std::vector<std::string> with_value(std::vector<std::string> args, const std::string& flag, const std::string& value) {
  for (size_t i = 0; i < args.size(); i++) {
    if (args[i].starts_with(flag + "=")) args.erase(args.begin() + long(i--));
    else if (args[i] == flag)
      args.erase(args.begin() + long(i), args.begin() + long(std::min(i + 2, args.size()))), i--;
  }
  args.insert(args.end(), {flag, value});
  return args;
}

void save_arguments(const fs::path& folder, const std::vector<std::string>& args) {
  std::vector<std::string> all = args;
  for (const char* flag : {"--train", "--val", "--init", "--config"})
    if (const auto value = value_of(args, flag); !value.empty()) all = with_value(all, flag, from_anywhere(value));
  fs::create_directories(folder);
  write_atomically(folder / arguments_file, [&](Writer& out) {
    for (const std::string& arg : all) out.write(arg + "\n");
  });
}

std::vector<std::string> with_saved_arguments(std::vector<std::string> args) {
  std::ifstream saved(fs::path(value_of(args, "--out")) / arguments_file);
  if (std::find(args.begin(), args.end(), "--resume") == args.end() || !value_of(args, "--model").empty() ||
      !value_of(args, "--preset").empty() || !saved)
    return args;
  std::vector<std::string> all;
  for (std::string line; std::getline(saved, line);) all.push_back(line);
  for (size_t i = 0; i < args.size(); i++) {
    const std::string flag = args[i].substr(0, args[i].find('='));
    if (flag == "--resume") all.push_back(flag);
    else if (flag != args[i] || i + 1 == args.size())
      all = with_value(all, flag, args[i].substr(std::min(args[i].size(), flag.size() + 1)));
    else all = with_value(all, flag, args[i + 1]), i++;
  }
  return all;
}

std::map<std::string, std::string> run_identity(const TrainOptions& o, const ViTConfig& config, const Index& train,
                                                int64_t steps, int64_t warmup, uint64_t seed) {
  uint64_t labels = 0;                 // tells other data, or other shards first, from the same
  for (size_t i = 0; i < train.size(); i++)
    for (const int label : train.labels(i)) labels = (labels ^ uint64_t(label)) * 0x100000001b3;
  const std::string held = o.holdout.empty() ? "" : ", beside --holdout " + o.holdout;
  std::map<std::string, std::string> identity = field_texts(config);
  identity[format_key] = format_version;
  identity.insert(
      {{"data", fmt::format("{} samples, labels {:016x}{}", train.size(), labels, held)},
       {"run.batch", std::to_string(o.batch)},
       {"run.seed", std::to_string(seed)},
       {"run.steps", std::to_string(steps)},
       {"run.warmup", std::to_string(warmup)},
       {"run.lr", fmt::format("{}", o.adam.lr)},
       {"run.weight_decay", fmt::format("{}", o.adam.weight_decay)},
       {"run.clip", fmt::format("{}", o.adam.clip)},
       {"run.loss", o.loss},
       {"run.precision", o.device.precision()},
       {"run.crop", o.preprocess.crop},
       {"run.flip", o.preprocess.flip ? "true" : "false"},
       {"run.mixup", fmt::format("{}", o.mixup)},
       {"run.ema", fmt::format("{}", o.ema)},
       {"run.randaug", to_text(o.preprocess.randaug)},
       {"run.micro_batch", std::to_string(o.images_at_a_time())}});
  return identity;
}
