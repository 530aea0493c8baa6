// The subcommand report of eval.
#include <memory>
#include "engine/console.h"
#include "engine/files.h"
#include "engine/flags.h"
#include "models/report.h"

namespace {

struct Options {
  std::vector<std::string> runs;
  std::string out;
  bool json = false;
};

// Runs beside each other: a table on stdout, and a page
void report(const Options& o) {
  const std::vector<RunSummary> runs = read_runs(o.runs);
  write_result(o.json ? report_json(runs) + "\n" : report_table(runs));
  if (!o.out.empty()) write_atomically(o.out, [page = report_page(runs)](Writer& out) { out.write(page); });
}

}  // namespace

void add_report(CLI::App& eval) {
  const auto o = std::make_shared<Options>();
  CLI::App* sub = eval.add_subcommand("report", "runs compared: a table, and a page with plots");
  sub->add_option("RUN", o->runs, "run folders, or folders of them")->required();
  sub->add_option("--out", o->out, "report.html, which needs no other file (drawn by gnuplot)");
  sub->add_flag("--json", o->json, "one JSON object on stdout");
  sub->callback([o] { report(*o); });
}
