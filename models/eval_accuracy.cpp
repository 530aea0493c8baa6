// The subcommand accuracy of eval.
#include <fmt/ranges.h>
#include <memory>
#include "engine/console.h"
#include "engine/flags.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "models/classes.h"
#include "models/eval_session.h"
#include "models/evaluate.h"

namespace {

struct Options : EvalFlags {
  std::string data, restrict_to, real, loss = "softmax";
  LoaderFlags loader;
};

void accuracy(const Options& o) {
  const EvalSession s = open(o);
  Restriction r{s.classes(o), {}, {}};
  if (!o.restrict_to.empty()) r = restrict_to(o.restrict_to, s.classes(o));
  const Index index = open_counting("data", o.data, r.classes, o.real);
  const size_t found = r.columns.size() - r.absent.size();
  std::string absent;
  if (!r.absent.empty())
    absent = fmt::format("; it has none for {}, whose images count as wrong", fmt::join(r.absent, ", "));
  if (!r.columns.empty()) print_log("classes {} of the model's {}{}\n", found, s.config().classes, absent);
  Loader loader(index, loader_options(o, o.loader, s));
  Evaluation e;
  {
    Progress progress{int64_t(index.size())};
    const auto show = [&](uint64_t done) {
      progress.show(int64_t(done), "images");
      return true;
    };
    e = evaluate(s.vit(), loader, o.loss, show, nullptr, r.columns);
  }
  for (const auto& [sample, reason] : loader.bad_samples()) print_log("left out {}\n", reason);
  if (o.json) {
    nlohmann::ordered_json json{{"count", e.count},
                                {"of", index.size()},
                                {"without_label", e.unlabelled},
                                {"top1", e.accuracy()},
                                {"top5", e.top5()}};
    if (r.columns.empty()) json["loss"] = e.loss;
    else json["absent"] = r.absent;
    json.update({{"mean_row_sum", e.row_sum},
                 {"images_per_second", double(e.count) / e.seconds},
                 {"bad_images", e.bad_images}});
    write_result(json_text(json) + "\n");
  } else {
    print_result("images            {}/{}{}\ntop-1             {:.2f} %\ntop-5             {:.2f} %\n", e.count,
                 index.size(), e.unlabelled ? fmt::format(", {} without a label", e.unlabelled) : "",
                 100 * e.accuracy(), 100 * e.top5());
    if (r.columns.empty()) print_result("{:<18}{:.4f}\n", o.loss + " loss", e.loss);
    if (!std::isnan(e.row_sum)) print_result("mean row sum of A {:.4g}\n", e.row_sum);
    print_result("images/s          {:.1f}\n", double(e.count) / e.seconds);
  }
}

}  // namespace

void add_accuracy(CLI::App& eval) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = eval.add_subcommand("accuracy", "top-1, top-5 and loss on a source, each image once");
  o->add(*sub);
  sub->add_option("--data", o->data, "images: a shard pattern, a folder, a tar, or a text file of them")->required();
  o->loader.add(*sub);
  add_loss(*sub, o->loss);
  sub->add_option("--restrict-to", o->restrict_to,
                  "choose from these classes only, which the labels count: 1k (a model of 21,843 classes on "
                  "ImageNet-1k), or a file with a wnid or class name a line");
  sub->add_option("--real", o->real,
                  "real.json: the labels of 'Are we done with ImageNet?' for the validation images");
  sub->callback([o] { accuracy(*o); });
}
