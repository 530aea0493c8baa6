#include "models/run_config.h"
#include <fmt/ranges.h>
#include <algorithm>
#include <fstream>
#include "data/index.h"
#include "data/scan_cache.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/progress.h"
#include "engine/text.h"
#include "models/checkpoint.h"
#include "models/diagnose.h"
#include "models/vit.h"
#include "models/weights.h"

namespace fs = std::filesystem;

void write_config(const fs::path& folder, const std::string& text) {
  fs::create_directories(folder);
  write_atomically(folder / "config.toml", [&](Writer& out) { out.write(text); });
}

// Whole batches of images that are held at once, as bytes: three that are made ready, two that are taken, and those of an evaluation; also
// two on a device with memory of its own, and as values what mixup makes of one.
static double held_batches(const TrainOptions& o, const Device& device) { return 5.0 + 4 * (o.mixup > 0) + 1.3 * !o.val.empty() + 2 * !device.is_host(); }

// Parameters with their two moments, and activations, whose place the gradients take; where those are more, the gradients.
static double training_bytes(const TrainOptions& o, const ViTConfig& c, int images, const Device& device) {
  const double parameters = double(parameter_count(c)), batch = 3.0 * c.image_size * c.image_size * o.batch;
  const bool rounded = device.rounds_operands() && !device.fuses_attention();
  return 10 * parameters + std::max(4 * parameters, kept_bytes(c, o.rematerialise, rounded) * images) + held_batches(o, device) * batch;
}

int print_config(CLI::App& app, const TrainOptions& o, ViTConfig config, const std::vector<GridMember>& members, Device& device) {
  if (o.classes) config.classes = o.classes;
  write_result(resolved_flags(app, config, 0, nullptr));
  int64_t steps = o.steps;
  if (!steps && !o.train.empty()) steps = o.updates(Index::open(o.train, default_cache_dir()).size());
  const double flops = forward_flops(config), parameters = double(parameter_count(config)), peak = measured_peak(device);
  const int images = o.micro_batch ? std::min(o.micro_batch, o.batch) : o.batch;
  print_result("\nmembers               {}\nparameters            {:.0f}\ntokens L              {}\nforward, one image    {:.4g} GFLOP\n", members.size(), parameters, config.tokens(), flops / 1e9);
  print_result("memory, about         {:.2f} GiB ({} images at a time)\n", training_bytes(o, config, images, device) / (1 << 30), images);
  if (!steps) {
    print_result("updates               --epochs {} of the images in --train\n", o.epochs);
    return int(ExitCode::ok);
  }
  const double work = (o.rematerialise ? 4 : 3) * flops * o.batch * double(steps);
  print_result("updates               {}, warm-up {}\nwork, one member      {:.4g} PFLOP\n", steps, o.warmup_steps(steps), work / 1e15);
  print_result("time, one member      {} of the {} measured here\n", peak > 0 ? fmt::format("{:.3g} hours at 70 %", work / (0.7 * peak) / 3600) : "unknown: a share", text_of_peak(peak));
  return int(ExitCode::ok);
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
      fail(ExitCode::usage, "{} holds {} too, which this command does not train and --resume would no longer know; name "
           "all members, or choose another --out", folder.string(), name);
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

std::vector<std::string> with_config_of_run(std::vector<std::string> args) {
  const std::string out = value_of(args, "--out");
  const bool resume = std::find(args.begin(), args.end(), "--resume") != args.end();
  if (resume && value_of(args, "--config").empty() && !out.empty()) {
    if (!fs::exists(fs::path(out) / "config.toml")) fail(ExitCode::usage, "--resume: {} holds no run (no config.toml)", out);
    args.insert(args.begin(), {"--config", (fs::path(out) / "config.toml").string()});
  }
  std::reverse(args.begin(), args.end());          // as CLI11 takes them
  return args;
}

std::vector<std::string> with_value(std::vector<std::string> args, const std::string& flag, const std::string& value) {
  for (size_t i = 0; i < args.size(); i++) {
    if (args[i].starts_with(flag + "=")) args.erase(args.begin() + long(i--));
    else if (args[i] == flag) args.erase(args.begin() + long(i), args.begin() + long(std::min(i + 2, args.size()))), i--;
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
  if (std::find(args.begin(), args.end(), "--resume") == args.end() || !value_of(args, "--model").empty() || !value_of(args, "--preset").empty() || !saved) return args;
  std::vector<std::string> all;
  for (std::string line; std::getline(saved, line);) all.push_back(line);
  for (size_t i = 0; i < args.size(); i++) {
    const std::string flag = args[i].substr(0, args[i].find('='));
    if (flag == "--resume") all.push_back(flag);
    else if (flag != args[i] || i + 1 == args.size()) all = with_value(all, flag, args[i].substr(std::min(args[i].size(), flag.size() + 1)));
    else all = with_value(all, flag, args[i + 1]), i++;
  }
  return all;
}

std::map<std::string, std::string> run_identity(const TrainOptions& o, const ViTConfig& config, const Index& train, int64_t steps, int64_t warmup) {
  uint64_t labels = 0;                 // tells other data, or other shards first, from the same
  for (size_t i = 0; i < train.size(); i++)
    for (const int label : train.labels(i)) labels = (labels ^ uint64_t(label)) * 0x100000001b3;
  std::map<std::string, std::string> identity = field_texts(config);
  identity[format_key] = format_version;
  identity.insert({{"data", fmt::format("{} samples, labels {:016x}", train.size(), labels)}, {"run.batch", std::to_string(o.batch)},
                   {"run.seed", std::to_string(o.seed)}, {"run.steps", std::to_string(steps)}, {"run.warmup", std::to_string(warmup)},
                   {"run.lr", fmt::format("{}", o.adam.lr)}, {"run.weight_decay", fmt::format("{}", o.adam.weight_decay)}, {"run.clip", fmt::format("{}", o.adam.clip)},
                   {"run.loss", o.loss}, {"run.precision", o.device.precision()}, {"run.crop", o.preprocess.crop}, {"run.flip", o.preprocess.flip ? "true" : "false"}, {"run.mixup", fmt::format("{}", o.mixup)}, {"run.ema", fmt::format("{}", o.ema)},
                   {"run.randaug", to_text(o.preprocess.randaug)},
                   {"run.micro_batch", std::to_string(o.micro_batch && o.micro_batch < o.batch ? o.micro_batch : o.batch)}});
  return identity;
}
