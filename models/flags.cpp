// The flags of train, and those that eval's subcommands share, on the command line, in --help and in config.toml; in
// one file, for CLI11 takes long to compile.
#include <CLI/CLI.hpp>
#include <sstream>
#include "engine/error.h"
#include "engine/flags.h"
#include "engine/help.h"
#include "models/attention/list.h"
#include "models/eval_session.h"
#include "models/learned.h"
#include "models/presets.h"
#include "models/recipes.h"
#include "models/run_config.h"

constexpr uint64_t any = 1'000'000'000'000'000'000;
constexpr const char *common = "Common", *recipe = "Recipe", *run_group = "Run",
                     *of_foreign = "Of weights that do not say it themselves";

void ModelFlags::add(CLI::App& app, bool foreign) {
  const auto add = [&]<class Value>(const Option<Value>& o) {
    std::string flag = flag_of(o.name), help = o.help;
    if (foreign) help.resize(std::min(help.find(" (default "), help.size()));    // it is what the file does not say
    Value& value = config_.*o.member;
    CLI::Option* option = nullptr;
    if constexpr (std::is_same_v<Value, bool>) {
      option = app.add_flag(flag + ",!--no-" + flag.substr(2), value, help);
    } else if constexpr (std::is_same_v<Value, Channels>) {
      const auto parse = [flag, &value](const std::string& text) { value = parse_channels(flag, text); };
      option = app.add_option_function<std::string>(flag, parse, help)->default_str(channels_text(value));
    } else {
      if constexpr (std::is_same_v<Value, int>)
        if (o.of_variant) option = app.add_option_function<int>(flag, [this, &o](int n) { sizes_[o.name] = n; }, help);
      if (!option) {
        option = app.add_option(flag, value, help);
        if (!foreign) option->capture_default_str();
      }
    }
    if constexpr (std::is_same_v<Value, int>) option->check(whole_number(1, o.most));
    if constexpr (std::is_same_v<Value, double>) option->check(real_number(-1e30));
    if constexpr (std::is_same_v<Value, std::string>)    // all but --learn have values
      option->transform(o.values.empty() ? as_known(known_learned) : one_of(o.values));
    option->group(foreign ? of_foreign : "Model");
  };
  each_option([&](const auto& o) { if (o.of_foreign) add(o); });
  if (foreign) return;
  app.add_option(
         "--model", model_,
         "VARIANT/PATCH, such as S/16 (several with commas train one after another); variants: " + variant_names())
      ->transform(as_known(known_models))
      ->capture_default_str()
      ->group("Model");
  each_option([&](const auto& o) { if (!o.of_foreign && !o.help.empty()) add(o); });
}

Stated ModelFlags::stated(const CLI::App& app) const {
  const auto given = [&](const std::string& flag) {
    const CLI::Option* option = app.get_option_no_throw(flag);
    return option && option->count() > 0;
  };
  Stated stated{config()};
  const auto all = all_fields(stated.config);
  if (given("--preset")) return all;
  for (const std::string& field : all.fields)
    if (given(flag_of(field))) stated.fields.insert(field);
  if (given("--model")) each_option([&](const auto& o) { if (o.of_variant) stated.fields.insert(o.name); });
  return stated;
}

void DeviceFlags::add(CLI::App& app, const std::string& group) {
  app.add_option("--device", options_.device, "where to compute: cpu, or cuda for the first GPU")
      ->transform(one_of({"cpu", "cuda"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--precision", precision_,
                 "of the inputs of matrix products: f32, bf16, or (cuda) tf32; everything else is f32")
      ->transform(one_of({"f32", "tf32", "bf16"}))
      ->capture_default_str()
      ->group(group);
  app.add_flag("--fused-attention,!--no-fused-attention", options_.fused_attention,
               "cuda with bf16: one kernel a pass where heads have 32 or 64 channels (default on)")
      ->default_str("true")
      ->group(group);
  app.add_flag("--fused-products,!--no-fused-products", options_.fused_products,
               "cuda with bf16: bias, residual, GELU and its derivative within the product, by cuBLASLt (default on)")
      ->default_str("true")->group(group);
  app.add_option("--threads", options_.threads, "of the CPU; 0: all cores; the result is the same for any number")
      ->check(whole_number(0, 1024))
      ->capture_default_str()
      ->group(group);
}

void TrainOptions::add(CLI::App& app) {
  set_up_help(app, common);
  use_config(app);
  app.add_option("--preset", preset, "a named recipe; flags given as well win: " + recipe_names())->configurable(false);
  app.add_flag("--print-config", print_config, "show the resolved run and what it costs, and do nothing")
      ->configurable(false);
  app.add_option("--train", train,
                 "training images: a shard pattern with braces, a folder, a tar, or a text file of them; of a folder "
                 "with train/ and val/ both are taken");
  app.add_option("--val", val, "validation images, likewise");
  app.add_option("--holdout", holdout,
                 "in place of --val: so many of the training images, or a share such as 1%, are not trained on but "
                 "evaluated; always the same ones");
  app.add_option("--out", out, "run folder: config.toml, metrics, weights, state")->configurable(false);
  app.add_option("--init", init,
                 "weights to start from, as eval --checkpoint has them; what no flag says of the model is as in the "
                 "file; the head starts anew where its classes differ, position embeddings are resampled");
  app.add_flag("--resume", resume,
               "go on where the run in --out was stopped (--resume RUN is --resume --out RUN); its flags are those of "
               "RUN/config.toml")
      ->configurable(false);
  model.add(app);
  app.add_option(
         "--attention", attention,
         "attention functions, as NAME or NAME:ALPHA; several train one after another; --help-attention lists them")
      ->delimiter(',')
      ->transform(as_known(known_attention))
      ->capture_default_str()
      ->group("Model");
  app.add_option("--alpha", alpha, "exponents of L in L^-alpha h(s); several train one after another")
      ->delimiter(',')
      ->check(real_number(0))
      ->capture_default_str()
      ->group("Model");
  app.add_option("--classes", classes,
                 "classes of the head (default: the class list beside the shards, else the largest label + 1)")
      ->check(whole_number(0, 10'000'000))
      ->group("Model");

  auto* by_steps = app.add_option("--steps", steps, "updates")->check(whole_number(1, 100'000'000'000))->group(recipe);
  if (steps) by_steps->capture_default_str();
  app.add_option("--epochs", epochs, "passes over the training images, instead of --steps")
      ->check(above_zero())
      ->group(recipe);
  app.add_option("--batch", batch, "images an update")
      ->check(whole_number(1, 16'777'216))
      ->capture_default_str()
      ->group(recipe);
  app.add_option("--lr", adam.lr, "peak learning rate of Adam")
      ->check(real_number(0))
      ->capture_default_str()
      ->group(recipe);
  app.add_option("--weight-decay", adam.weight_decay,
                 "decoupled, times the schedule but not the learning rate: AdamW's is this / lr")
      ->check(real_number(0))
      ->capture_default_str()
      ->group(recipe);
  app.add_option("--warmup", warmup, "updates of linear warm-up before the cosine, or a share of all such as 10%")
      ->capture_default_str()
      ->group(recipe);
  app.add_option("--clip", adam.clip, "largest global norm of the gradient; 0: no clipping")
      ->check(real_number(0))
      ->capture_default_str()
      ->group(recipe);
  app.add_option("--micro-batch", micro_batch,
                 "images of a batch at a time, for less memory: the gradients are those of the batch, up to rounding; "
                 "0: all at once")
      ->check(whole_number(0, 16'777'216))
      ->capture_default_str()
      ->group(run_group);
  app.add_flag("--remat,!--no-remat", rematerialise,
               "keep of each block its input alone and compute it again in the backward pass: less memory, a third "
               "more work, the same bits")
      ->group(run_group);
  app.add_option("--mixup", mixup,
                 "p of Beta(p, p): each batch is mixed with itself shifted by one, with one coefficient; 0: not")
      ->check(zero_or(0.001, 1))
      ->capture_default_str()
      ->group(recipe);
  app.add_option_function<std::string>(
         "--randaug", [this](const std::string& text) { preprocess.randaug = parse_randaug(text); },
         "N,M: N random operations of magnitude M on each training image, as BigVision has them; N,M,repaired without "
         "their slips; 0: none")
      ->default_str(to_text(preprocess.randaug))
      ->group(recipe);
  app.add_option(
         "--ema", ema,
         "decay of a moving average of the weights, such as 0.9999, which is evaluated and kept as best; 0: none")
      ->check(real_number(0, 1))
      ->capture_default_str()
      ->group(recipe);
  app.add_option("--loss", loss, "softmax or sigmoid cross-entropy")
      ->transform(one_of({"softmax", "sigmoid"}))
      ->capture_default_str()
      ->group(recipe);
  app.add_option("--crop", preprocess.crop, "inception (random window), pad (4 pixels, random offset) or none")
      ->transform(one_of({"inception", "pad", "none"}))
      ->capture_default_str()
      ->group(recipe);
  app.add_flag("--flip,!--no-flip", preprocess.flip, "mirror every second image (default on)")
      ->default_str("true")
      ->group(recipe);

  device.add(app, run_group);
  app.add_option("--workers", workers,
                 "threads that decode images ahead (default 1; where a GPU trains all cores but one); the result is "
                 "the same for any number")
      ->check(whole_number(0, 1024))
      ->group(run_group);
  app.add_option("--seed", seeds, "of initialisation, order and augmentation; several train one after another")
      ->delimiter(',')
      ->check(whole_number(0, UINT64_MAX))
      ->capture_default_str()
      ->group(run_group);
  app.add_option("--log-every", log_every, "updates between lines of the metrics")
      ->check(whole_number(1, any))
      ->capture_default_str()
      ->group(run_group);
  app.add_option(
         "--inspect-every", inspect_every,
         "updates between looks inside attention, which go to inspect.csv and TensorBoard and change no bit; 0: none")
      ->check(whole_number(0, any))
      ->capture_default_str()
      ->group(run_group);
  add_help_page(app, "attention", "the attention functions, their formulas and sources", attention_page);
  app.add_flag(
         "--profile", profile,
         "at the end, where the time went: products, attention, normalisation, ...; on a GPU each pass is waited for")
      ->group(run_group);
  app.add_option("--eval-every", eval_every,
                 "updates between evaluations (default an epoch, but at most 20 a run); 0: at the end")
      ->check(whole_number(0, any))
      ->group(run_group);
  app.add_option("--save-every", save_every, "updates between saves")
      ->check(whole_number(1, any))
      ->capture_default_str()
      ->group(run_group);
  app.add_option("--save-minutes", save_minutes, "the longest time between saves")
      ->check(above_zero())
      ->capture_default_str()
      ->group(run_group);
  for (const char* flag : {"--model", "--attention", "--alpha", "--image-size", "--steps", "--epochs", "--batch",
                           "--lr", "--eval-every", "--seed"})
    app.get_option(flag)->group(common);
}

void TrainOptions::choose_length(CLI::App& app, const std::vector<std::string>& args) {
  const bool steps_here = !value_of(args, "--steps").empty(), epochs_here = !value_of(args, "--epochs").empty();
  const bool several = app.count("--steps") && app.count("--epochs");
  if (several && steps_here == epochs_here)
    fail(ExitCode::usage, "--steps and --epochs are both given, expected one of them: how long to train");
  const bool by_epochs = several ? epochs_here : app.count("--epochs") > 0;
  if (!by_epochs && !app.count("--steps")) return;
  if (by_epochs) steps = 0;
  else epochs = 0;
  CLI::Option* const other = app.get_option(by_epochs ? "--steps" : "--epochs");
  other->clear();
  other->default_str("");
}

bool EvalFlags::given(const std::string& flag) const { return subcommand->count(flag); }

void EvalFlags::add(CLI::App& app) {
  subcommand = &app;
  app.add_option("--checkpoint", checkpoint,
                 "weights: our safetensors, timm's safetensors or BigVision's npz, or a run's folder")
      ->required();
  model.add(app, true);
  app.add_option("--attention", attention, "attention function (default softmax); --help-attention lists them")
      ->transform(as_known(known_attention))
      ->group(of_foreign);
  app.add_option("--alpha", alpha,
                 "its exponent of L (default 1); with another --image-size than trained with: the exponent of the "
                 "change, from the factor of training")
      ->check(real_number(0))
      ->group(of_foreign);
  app.add_option("--crop", crop,
                 "how pictures are cut for a foreign file: inception (the middle of 256/224 of the size), or none or "
                 "pad (the size itself)")
      ->transform(one_of({"inception", "pad", "none"}))
      ->capture_default_str()
      ->group(of_foreign);
  add_help_page(app, "attention", "the attention functions, their formulas and sources", attention_page);
  device.add(app);
  app.add_option("--batch", batch, "images at a time")->check(whole_number(1, 16'777'216))->capture_default_str();
  app.add_flag("--json", json, "one JSON object on stdout");
}

void LoaderFlags::add(CLI::App& app) {
  app.add_option("--workers", workers,
                 "threads that decode images ahead (default 1; where a GPU computes all cores but one)")
      ->check(whole_number(0, 1024));
  app.add_option("--on-bad-image", on_bad, "error, or skip and count")
      ->transform(one_of({"error", "skip"}))
      ->capture_default_str();
}

void add_loss(CLI::App& app, std::string& loss) {
  app.add_option("--loss", loss, "softmax or sigmoid")
      ->transform(one_of({"softmax", "sigmoid"}))
      ->capture_default_str();
}

std::string resolved_flags(CLI::App& app, const TrainOptions& o, const ViTConfig& c, int64_t steps,
                           const GridMember* member) {
  auto set = [&](const char* flag, const auto& value) {
    CLI::Option* option = app.get_option(flag);
    option->clear();
    option->add_result(fmt::format("{}", value));
  };
  for (const auto& [field, text] : field_texts(c))
    if (field != "attention" && field != "alpha") set(flag_of(field).c_str(), text);
  if (steps) set("--steps", steps), app.get_option("--epochs")->clear(), app.get_option("--epochs")->default_str("");
  for (const auto& [flag, source] : {std::pair{"--train", &o.train}, {"--val", &o.val}, {"--init", &o.init}})
    if (!source->empty()) set(flag, from_anywhere(*source));          // config.toml is read from other folders, too
  if (o.eval_every) set("--eval-every", *o.eval_every);
  if (member) set("--attention", member->attention), set("--alpha", member->alpha), set("--seed", member->seed);
  std::istringstream lines(app.config_to_str(true));
  std::string text;
  for (std::string line; std::getline(lines, line);)
    if (!line.ends_with("=\"\"") || line == "learn=\"\"") text += line + "\n";      // not set and without a default
  return text;
}

std::map<std::string, std::string> read_config(const std::filesystem::path& folder) try {
  std::map<std::string, std::string> flags;
  for (const CLI::ConfigItem& item : ConfigFile().from_file((folder / "config.toml").string()))
    flags[item.name] = item.inputs.empty() ? "" : item.inputs[0];
  return flags;
} catch (const CLI::Error& error) {
  fail(ExitCode::data, "{}: {}", (folder / "config.toml").string(), error.what());
}
