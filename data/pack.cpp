// build/pack: makes tar shards, the form in which train and eval read images.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "data/check.h"
#include "data/labels.h"
#include "data/shard_plan.h"
#include "data/synthetic.h"
#include "data/transfer.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/files.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "engine/machine.h"
#include "engine/program.h"

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
      ->check(whole_number(10, 100'000'000))->capture_default_str();
  drawn->add_option("--size", options->size, "width and height in pixels")->check(whole_number(16, 1024))
      ->capture_default_str();
  drawn->add_option("--seed", options->seed, "another seed draws other pictures")
      ->check(whole_number(0, UINT64_MAX))
      ->capture_default_str();
  drawn->callback([options] {
    const auto& [out, images, seed, size] = *options;
    const FolderLock lock(out);
    write_drawn_set(out, images, images / 5, size, seed);
    print_result("{0} training and {1} validation pictures of {2}x{2} in {3} classes\n"
               "next: build/train --train '{4}/train-*.tar' --val '{4}/val-*.tar' --out RUN\n",
               images, images / 5, size, drawn_classes.size(), out);
  });
}

struct Sources {
  std::vector<std::string> paths;
  std::string set, on_bad = "skip";
  double validation = 0;
  PackOptions write;
};

CLI::App* add_writer(CLI::App& app, const char* name, const char* what, const std::shared_ptr<Sources>& options) {
  CLI::App* command = app.add_subcommand(name, what);
  command->add_option("--out", options->write.out, "folder for the shards and classes.txt")->required();
  command->add_option("--size", options->write.size, "shrink to this shorter side; 0: keep the images' bytes")
      ->check(whole_number(0, 16384))->capture_default_str();
  command->add_option("--on-bad-image", options->on_bad, "leave images out that cannot be decoded, or stop there")
      ->transform(one_of({"skip", "error"}))->capture_default_str();
  command->add_option("--threads", options->write.threads, "that decode and encode")
      ->check(whole_number(1, 1024))
      ->capture_default_str();
  return command;
}

void add_split(CLI::App* command, const std::shared_ptr<Sources>& options) {
  command->add_option("--split", options->validation, "this part of the images, the last by md5, is for validation")
      ->check(real_number(0, 0.9))->capture_default_str();
}

void write(const ShardPlan& plan, const Members& members, Sources& options) {
  options.write.stop_at_bad = options.on_bad == "error";
  const Packed packed = write_planned(plan, members, options.write);
  const std::string out = options.write.out.string();
  for (const auto& [part, samples] : packed.samples)
    print_result("{:<6} {:>8} images  {}/{}-*.tar\n", part, samples, out, part);
  Tally passed_over = plan.passed_over;
  passed_over.add(members.passed_over());
  print_result("{} classes; {} images encoded anew, {} left out, other files passed over: {}\n", plan.classes.size(),
             packed.encoded, packed.bad.size(), passed_over.text());
  if (!plan.note.empty()) print_result("note: {}\n", plan.note);
}

bool lies_in_folder(std::string_view path, std::string_view head) {
  return is_packable_image(path, head) && path.find('/') != path.npos;
}

void add_folder(CLI::App& app) {
  const auto options = std::make_shared<Sources>();
  CLI::App* folder =
      add_writer(app, "folder", "DIR/CLASS/IMAGE or DIR/{train,val,test}/CLASS/IMAGE, links followed", options);
  folder->add_option("DIR", options->paths, "JPEG and PNG keep their bytes, TIFF becomes PNG")->required()->expected(1);
  add_split(folder, options);
  folder->callback([options] {
    const FolderLock lock(options->write.out);
    Members members(options->write.out);
    members.add_folder(options->paths[0], lies_in_folder);
    write(plan_classes(members, first_folders, class_list(options->paths[0]), options->validation), members, *options);
  });
}

void add_archive(CLI::App& app) {
  const auto options = std::make_shared<Sources>();
  CLI::App* archive = add_writer(app, "archive", "tar and zip, compressed or not, archives in archives", options);
  archive
      ->add_option("FILE", options->paths,
                   "an image's class is the folder that it lies in or, where all these have one name, the first folder "
                   "in which they differ; folders named train, val or test make parts. While it runs, the images also "
                   "lie in a hidden file in --out")
      ->required();
  add_split(archive, options);
  archive->callback([options] {
    const FolderLock lock(options->write.out);
    Members members(options->write.out);
    for (const std::string& file : options->paths) members.add_archive(file, is_packable_image);
    write(plan_classes(members, nearest_folders, {}, options->validation), members, *options);
  });
}

void add_transfer(CLI::App& app) {
  const auto options = std::make_shared<Sources>();
  CLI::App* transfer =
      add_writer(app, "transfer", "a set that few-shot accuracy is measured on, with its own split", options);
  transfer->footer([] {
    std::string sets = wrapped("Sets, the archives to give, and how they are split:", help_width(), 2, "");
    for (const TransferSet& set : transfer_sets())
      sets +=
          wrapped(fmt::format("{}; {}", set.archives, set.split), help_width(), 14, fmt::format("  {:<11} ", set.name));
    return sets + wrapped("Shards are in the order of TensorFlow Datasets, md5(split || key).", help_width(), 2, "");
  });
  transfer->add_option("NAME", options->set, "which set")->required();
  transfer->add_option("ARCHIVE", options->paths, "its archives, as they were downloaded")->required();
  transfer->callback([options] {
    const TransferSet& set = find_transfer_set(options->set);
    const FolderLock lock(options->write.out);
    Members members(options->write.out);
    for (const std::string& file : options->paths) members.add(file, keep_for_transfer);
    const ShardPlan plan = plan_transfer(set, members);
    write(plan, members, *options);
    print_result("split: {}\n", set.split);
    for (const auto& [part, official] : set.official) {
      const auto in_part = [part = part](const PlannedImage& image) { return image.part == part; };
      const size_t found = part ? size_t(std::count_if(plan.images.begin(), plan.images.end(), in_part)) : official;
      if (found != official)
        print_result("note: the whole set has {} images in {}, here are {}\n", official, part, found);
    }
    print_result("next: build/eval fewshot --checkpoint F --task {0}='{1}/train-*.tar,{1}/test-*.tar'\n", set.name,
               options->write.out.string());
  });
}

void add_check(CLI::App& app, ExitCode& result) {
  struct Options {
    std::string source;
    int threads = usable_cores();
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* check = app.add_subcommand("check", "read a source once, whole, and say what is in it and what is damaged");
  check->add_option("SRC", options->source, "as for --train; exit code 3 if an image is damaged")->required();
  check->add_option("--threads", options->threads, "that decode (default: all cores)")
      ->check(whole_number(1, 1024))
      ->capture_default_str();
  check->add_flag("--json", options->json, "one JSON object, with all names");
  check->callback([options, &result] {
    const SourceCheck found = check_source(Index::open(options->source, ""), options->threads);
    write_result(options->json ? json_text(as_json(found), 2) + "\n" : as_text(found));
    if (!found.damaged.empty()) result = ExitCode::data;
  });
}
}

int main(int argc, char** argv) {
  return run_program("pack", [&] {
    CLI::App app("Makes tar shards of images, the form in which train and eval read them.", "pack");
    set_up_help(app, "Flags");
    app.require_subcommand(1);
    ExitCode result = ExitCode::ok;
    add_drawn(app);
    add_folder(app);
    add_archive(app);
    add_transfer(app);
    add_check(app, result);
    parse(app, argc, argv);
    return int(result);
  });
}
