// One list of a config's fields, which leaves none out, and the identity of a run that is made of it.
#include <doctest/doctest.h>

#include "engine/flags.h"
#include "engine/safetensors.h"
#include "models/checkpoint.h"
#include "models/run_config.h"
#include "models/vit.h"
#include "tests/error_of.h"
#include "tests/run_program.h"

namespace {
struct Anything {
  template <class T> operator T() const;
};
// How many members an aggregate has.
template <class T, class... Before>
constexpr size_t members() {
  if constexpr (requires { T{Before()..., Anything()}; }) return members<T, Before..., Anything>();
  else return sizeof...(Before);
}

void change(int& value) { value++; }
void change(double& value) { value += 0.5; }
void change(bool& value) { value = !value; }
void change(std::string& value) { value += "x"; }
void change(Channels& value) { value[2] = 0.25f; }

const Index& drawn() {
  static const Index index = Index::open(drawn_set() / "train-*.tar", common_folder() / "index");
  return index;
}

// The identity of a run of 20 updates, or of --steps or --epochs, with the flags.
Metadata identity_with(const std::vector<std::string>& flags) {
  CLI::App app;
  TrainOptions o;
  o.add(app);
  app.parse(std::vector<std::string>(flags.rbegin(), flags.rend()));
  ViTConfig config = o.model.config();
  config.attention = o.grid()[0].attention, config.alpha = o.grid()[0].alpha, config.classes = o.classes;
  const int64_t steps = o.steps || o.epochs > 0 ? o.updates(drawn().size()) : 20;
  return run_identity(o, config, drawn(), steps, o.warmup_steps(1000), o.seeds[0]);
}
}    // namespace

TEST_SUITE("fields") {
  TEST_CASE("every member of a config is in the list, once") {
    ViTConfig config;
    std::set<const void*> seen;
    std::set<std::string> names;
    each_field(config, [&](const char* name, auto& value) { seen.insert(&value), names.insert(name); });
    CHECK(seen.size() == members<ViTConfig>());
    CHECK(names.size() == members<ViTConfig>());
  }

  TEST_CASE("a default is one of its option's values, and no other value makes a model") {
    each_option([]<class Value>(const Option<Value>& option) {
      if constexpr (std::is_same_v<Value, std::string>) {
        if (option.values.empty()) return;
        CAPTURE(std::string(option.name));
        CHECK(std::ranges::count(option.values, option.usual()) == 1);
        ViTConfig config;
        config.*option.member = "fast";
        CHECK(says(error_of(ExitCode::usage, [&] { check_config(config); }),
                   {words_of(option.name).c_str(), "'fast'", option.values.front().c_str(),
                    option.values.back().c_str()}));
      }
    });
  }

  TEST_CASE("a flag takes what its option's row says, with the row's help and default") {
    CLI::App app;
    TrainOptions o;
    o.add(app);
    each_option([&](const auto& option) {
      if (option.help.empty()) return;
      CAPTURE(std::string(option.name));
      const CLI::Option* flag = app.get_option_no_throw(flag_of(option.name));
      REQUIRE(flag);
      CHECK(flag->get_description() == option.help);
      if (!option.values.empty()) CHECK(flag->get_default_str() == field_texts({}).at(option.name));
    });
  }

  TEST_CASE("a run is not resumed as another model, whichever field differs and on whichever side") {
    const TempDir dir;
    const std::filesystem::path state = dir.path() / "last.state";
    const Metadata plain = run_identity({}, {}, drawn(), 20, 2, 0);
    for (const std::string& field : all_fields({}).fields) {
      CAPTURE(field);
      ViTConfig other;
      each_field(other, [&](const char* name, auto& value) {
        if (name == field) change(value);
      });
      const Metadata changed = run_identity({}, other, drawn(), 20, 2, 0);
      for (const auto& [saved, now] : {std::pair{plain, changed}, {changed, plain}}) {
        write_safetensors(state, {}, saved);
        CHECK(says(error_of(ExitCode::usage, [&] { check_identity(state, now); }), {"last.state", field.c_str()}));
      }
    }
  }

  TEST_CASE("states of older programs, which left out defaults, and of newer ones, which know more") {
    const TempDir dir;
    const std::filesystem::path state = dir.path() / "last.state";
    const Metadata now = run_identity({}, {}, drawn(), 20, 2, 0);
    Metadata old = now;
    for (const char* later : {"learn", "gate_function", "attention_form", "output_norm", "block", "mean", "std"})
      old.erase(later);
    old["state.step"] = "3";
    write_safetensors(state, {}, old);
    check_identity(state, now);
    Metadata laser = now;
    laser["attention_form"] = "laser";
    CHECK(says(error_of(ExitCode::usage, [&] { check_identity(state, laser); }),
               {"attention_form = plain, now it is laser"}));
    Metadata newer = now;
    newer["run.dropout"] = "0.1";
    write_safetensors(state, {}, newer);
    CHECK(says(error_of(ExitCode::usage, [&] { check_identity(state, now); }),
               {"run.dropout = 0.1, now it is (absent)"}));
  }

  TEST_CASE("every flag of training is in the identity of a run, or changes none of its bits") {
    const std::map<std::string, std::string> changed = {{"--image-size", "32"},
                                                        {"--gelu", "erf"},
                                                        {"--mean", "imagenet"},
                                                        {"--std", "imagenet"},
                                                        {"--pool", "map"},
                                                        {"--gate-function", "sigmoid"},
                                                        {"--width", "64"},
                                                        {"--heads", "3"},
                                                        {"--model", "Ti/16"},
                                                        {"--depth", "2"},
                                                        {"--mlp-width", "7"},
                                                        {"--patch", "8"},
                                                        {"--qk-norm", ""},
                                                        {"--gate", ""},
                                                        {"--learn", "layerscale"},
                                                        {"--attention-form", "laser"},
                                                        {"--output-norm", "rms"},
                                                        {"--block", "gau"},
                                                        {"--position", "sincos2d"},
                                                        {"--head-hidden", ""},
                                                        {"--head-bias", "1"},
                                                        {"--attention", "relu"},
                                                        {"--alpha", "2"},
                                                        {"--classes", "12"},
                                                        {"--steps", "7"},
                                                        {"--epochs", "3"},
                                                        {"--batch", "4"},
                                                        {"--lr", "1"},
                                                        {"--weight-decay", "1"},
                                                        {"--warmup", "7"},
                                                        {"--clip", "7"},
                                                        {"--micro-batch", "2"},
                                                        {"--mixup", "0.5"},
                                                        {"--randaug", "1,2"},
                                                        {"--ema", "0.5"},
                                                        {"--loss", "sigmoid"},
                                                        {"--crop", "none"},
                                                        {"--no-flip", ""},
                                                        {"--precision", "bf16"},
                                                        {"--seed", "7"},
                                                        {"--holdout", "3"}};
    // --train is in it by its number of images and their labels, and a preset by the flags it sets
    const std::set<std::string> free = {
        "--help",       "--config",       "--preset",        "--print-config",  "--train",   "--val",
        "--out",        "--init",         "--resume",        "--remat",         "--device",  "--fused-attention",
        "--threads",    "--workers",      "--log-every",     "--inspect-every", "--profile", "--eval-every",
        "--fused-products",
        "--save-every", "--save-minutes", "--help-attention"};
    CLI::App app;
    TrainOptions o;
    o.add(app);
    const std::vector<std::string> relu = {"--attention", "relu"};
    for (const CLI::Option* option : app.get_options()) {
      const std::string flag = "--" + option->get_lnames().at(0);
      CAPTURE(flag);
      const auto found = std::ranges::find_if(changed, [&](const auto& item) {
        return item.first == flag || item.first == "--no-" + flag.substr(2);
      });
      CHECK((found != changed.end()) == !free.contains(flag));
      if (found == changed.end()) continue;
      std::vector<std::string> base = flag == "--alpha" ? relu : std::vector<std::string>(), flags = base;
      flags.push_back(found->first);
      if (!found->second.empty()) flags.push_back(found->second);
      CHECK(identity_with(flags) != identity_with(base));
    }
  }
}
