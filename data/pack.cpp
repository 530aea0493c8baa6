// build/pack: makes tar shards, the form in which train and eval read images.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "data/draw.h"
#include "engine/error.h"

namespace {
void add_drawn(CLI::App& app) {
  struct Options {
    std::string out;
    uint64_t images = 6000, seed = 0;
    int size = 32;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* drawn = app.add_subcommand("drawn", "draw the demo set: ten shapes on cluttered grounds, as JPEGs");
  drawn->add_option("--out", options->out, "folder for train-*.tar, val-*.tar and classes.txt")->required();
  drawn->add_option("--images", options->images, "training pictures; a fifth as many for validation")
      ->check(CLI::Range(10, 100'000'000))->capture_default_str();
  drawn->add_option("--size", options->size, "width and height in pixels")->check(CLI::Range(16, 1024))
      ->capture_default_str();
  drawn->add_option("--seed", options->seed, "another seed draws other pictures")->capture_default_str();
  drawn->callback([options] {
    const auto& [out, images, seed, size] = *options;
    write_drawn_set(out, images, images / 5, size, seed);
    fmt::print("{0} training and {1} validation pictures of {2}x{2} in {3} classes\n"
               "next: build/train --train '{4}/train-*.tar' --val '{4}/val-*.tar' --out RUN\n",
               images, images / 5, size, drawn_classes.size(), out);
  });
}
}

int main(int argc, char** argv) try {
  CLI::App app("Makes tar shards of images, the form in which train and eval read them.", "pack");
  app.require_subcommand(1);
  add_drawn(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    fail(ExitCode::usage, "{}; see pack --help", error.what());
  }
  return int(ExitCode::ok);
} catch (const Error& error) {
  fmt::print(stderr, "pack: {}\n", error.what());
  return int(error.code);
} catch (const std::exception& error) {
  fmt::print(stderr, "pack: {}\n", error.what());
  return int(ExitCode::failed);
}
