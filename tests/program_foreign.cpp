// Weights of other programs in ours, and ours in others: what is taken from the file, stated, assumed and said.
#include <doctest/doctest.h>

#include "engine/npy.h"
#include "tests/numbered_weights.h"
#include "tests/run_program.h"

namespace {
namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

// The tensors of a checkpoint without what it says of itself.
void strip(const fs::path& from, const fs::path& to) { write_foreign(to, read_weights(from).tensors); }

Ended accuracy(const fs::path& weights, Flags more = {}) {
  more.merge(Flags{{"--data", drawn_set() / "val-*.tar"}, {"--json", ""}});
  return eval("accuracy", eval_flags(weights, more));
}
std::string loss_of(const Ended& ended) {
  REQUIRE_MESSAGE(ended.code == 0, ended.err);
  const size_t at = ended.out.find("\"loss\"");
  return ended.out.substr(at, ended.out.find(',', at) - at);
}
}    // namespace

TEST_SUITE("programs") {
  TEST_CASE("mean and std go from training into the checkpoint, and are stated where a file does not say them") {
    const TempDir dir;
    const fs::path run = dir.path() / "run", plain = dir.path() / "plain", bare = dir.path() / "bare.safetensors";
    REQUIRE(train(train_flags(plain, {{"--lr", "0.01"}})).code == 0);
    const Flags imagenet{{"--lr", "0.01"}, {"--mean", "imagenet"}, {"--std", "0.229,0.224,0.225"}};
    REQUIRE(train(train_flags(run, imagenet)).code == 0);
    CHECK(SafeTensors(run / "last.safetensors").metadata().at("mean") == "0.485,0.456,0.406");
    CHECK_FALSE(SafeTensors(plain / "last.safetensors").metadata().contains("mean"));
    CHECK(contains(read_text(run / "config.toml"), "std=\"0.229,0.224,0.225\""));
    strip(run / "last.safetensors", bare);

    const std::string expected = loss_of(accuracy(run));
    const Flags known{{"--heads", "2"}, {"--gelu", "tanh"}, {"--attention", "softmax"}};
    Flags all = known;
    all.merge(Flags{{"--mean", "imagenet"}, {"--std", "imagenet"}, {"--crop", "inception"}});
    const Ended stated = accuracy(bare, all), assumed = accuracy(bare, known);
    CHECK(loss_of(stated) == expected);
    CHECK_FALSE(contains(stated.err, "assumed"));
    CHECK(loss_of(assumed) != expected);
    CHECK(contains(assumed.err, "which are assumed: --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5\n"));
    CHECK(contains(assumed.err, "--crop inception is assumed"));

    const auto refused = [&](const fs::path& weights, const Flags& flags, const std::string& said) {
      const Ended ended = accuracy(weights, flags);
      CHECK(ended.code == 2);
      CHECK_MESSAGE(contains(ended.err, said), ended.err);
    };
    refused(run, {{"--mean", "half"}}, "--mean: 0.5,0.5,0.5 is given, but");
    refused(run, {{"--crop", "none"}}, "--crop: none is given, but");
    refused(plain, {{"--std", "imagenet"}}, "--std: 0.229,0.224,0.225 is given, but");
    refused(run, {{"--std", "0.5,0.5"}}, "--std: '0.5,0.5', expected three positive numbers");
    refused(run, {{"--std", "0.5,0,0.5"}}, "--std: '0.5,0,0.5', expected three positive numbers");
    const Ended resumed = train(Flags{{"--out", run}, {"--resume", ""}, {"--mean", "half"}});
    CHECK(resumed.code == 2);
    CHECK_MESSAGE(contains(resumed.err, "mean = 0.485,0.456,0.406, now it is 0.5,0.5,0.5"), resumed.err);
  }

  TEST_CASE("--heads is needed and taken where a file does not tell them") {
    const TempDir dir;
    ViTConfig config = tiny("gap");
    write_foreign(dir.path() / "x.safetensors", numbered_weights(config));
    write_npy(dir.path() / "x.npy", {1, 8, 8, 3}, std::vector<float>(8 * 8 * 3));
    const Flags input{{"--input", dir.path() / "x.npy"}};
    const Ended without = eval("predict", eval_flags(dir.path() / "x.safetensors", input));
    CHECK(without.code == 3);
    CHECK_MESSAGE(contains(without.err, "--heads N"), without.err);
    Flags with = input;
    with["--heads"] = "3";
    CHECK(eval("predict", eval_flags(dir.path() / "x.safetensors", with)).code == 0);

    config.classes = 1000;
    write_foreign(dir.path() / "imagenet.safetensors", numbered_weights(config));
    const Ended named = eval("predict", eval_flags(dir.path() / "imagenet.safetensors", with));
    CHECK(contains(named.err, "name no classes: they are taken for those of ImageNet-1k"));
    CHECK_MESSAGE(contains(named.out, " %  n0"), named.out);
    CHECK_FALSE(contains(named.out, "class "));
  }

  TEST_CASE("--init alone makes the model of the file, and flags make it another, which is said") {
    const TempDir dir;
    const fs::path first = dir.path() / "first", next = dir.path() / "next", other = dir.path() / "other";
    const Flags model{{"--attention", "relu"}, {"--alpha", "0.5"}, {"--pool", "cls"}, {"--gelu", "erf"},
                      {"--qk-norm", ""}, {"--learn", "layerscale"}, {"--mean", "imagenet"}, {"--steps", "2"}};
    REQUIRE(train(train_flags(first, model)).code == 0);
    Flags alone{{"--train", drawn_set() / "train-*.tar"}, {"--init", first}, {"--steps", "4"}, {"--batch", "8"},
                {"--threads", "1"}};
    Flags begin = alone;
    begin["--out"] = next;
    const Ended begun = train(begin);
    REQUIRE_MESSAGE(begun.code == 0, begun.err);
    CHECK(read_weights(next).config == read_weights(first).config);
    CHECK_FALSE(contains(begun.err, "not used"));
    CHECK(contains(begun.err, "first has no best.safetensors"));
    REQUIRE(train(Flags{{"--config", next / "config.toml"}, {"--out", dir.path() / "again"}}).code == 0);
    check_same_run(next, dir.path() / "again");

    begin["--out"] = other;
    begin.merge(Flags{{"--pool", "gap"}, {"--gelu", "tanh"}, {"--image-size", "24"}});
    const Ended changed = train(begin);
    REQUIRE_MESSAGE(changed.code == 0, changed.err);
    CHECK_MESSAGE(contains(changed.err, "not used: cls_token; the file's model has --gelu erf --pool cls\n"),
                  changed.err);
    CHECK(contains(changed.err, "resampled from 2 x 2 to 3 x 3"));
    fs::remove_all(first);
    CHECK(train(Flags{{"--out", other}, {"--resume", ""}}).code == 0);    // needs the file no more
  }

  TEST_CASE("a run is not resumed as another form of attention") {
    const TempDir dir;
    const fs::path run = dir.path() / "run";
    REQUIRE(train(train_flags(run, {{"--attention-form", "laser"}, {"--steps", "2"}})).code == 0);
    const Ended plain = train(Flags{{"--out", run}, {"--resume", ""}, {"--attention-form", "plain"}});
    CHECK(plain.code == 2);
    CHECK_MESSAGE(contains(plain.err, "attention_form = laser, now it is plain"), plain.err);
  }

  TEST_CASE("export says how timm opens the file, and what timm has not") {
    const TempDir dir;
    const auto exported = [&](const char* name, const Flags& model) {
      Flags flags = model;
      flags["--steps"] = "1";
      REQUIRE(train(train_flags(dir.path() / name, flags)).code == 0);
      const fs::path to = dir.path() / (std::string(name) + ".safetensors");
      const Ended ended = eval("export", eval_flags(dir.path() / name, {{"--to", to}}));
      REQUIRE_MESSAGE(ended.code == 0, ended.err);
      return ended;
    };
    const Ended plain = exported("plain", {{"--qk-norm", ""}, {"--mean", "imagenet"}});
    for (const char* part : {"(img_size=16, patch_size=8, embed_dim=16, depth=1, num_heads=2, mlp_ratio=4",
                             "class_token=False, global_pool='avg', fc_norm=False", "qk_norm=True, init_values=None",
                             "approximate='tanh'", "eps=1e-6",
                             "plain.safetensors", "mean 0.485,0.456,0.406"})
      CHECK_MESSAGE(contains(plain.out, part), plain.out);
    CHECK_FALSE(contains(plain.out, "forward"));
    CHECK_FALSE(contains(plain.err, "timm's"));
    const Ended relu = exported("relu", {{"--attention", "relu"}});
    CHECK(contains(relu.out, "a = (torch.relu(s)) / L ** 1"));
    CHECK_MESSAGE(contains(relu.err, "relu with alpha 1, for which it computes softmax; the lines of Python"),
                  relu.err);
    const Ended laser = exported("laser", {{"--attention-form", "laser"}});
    CHECK_MESSAGE(contains(laser.err, "form laser; so it cannot compute this model"), laser.err);
    CHECK_FALSE(contains(laser.out, "VisionTransformer"));
    CHECK(eval("export", eval_flags(dir.path() / "laser", {{"--to", dir.path() / "laser.npz"}})).code == 2);
  }
}
