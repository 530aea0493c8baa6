#include "models/report.h"
#include <algorithm>
#include <map>
#include <set>
#include "engine/console.h"
#include "engine/error.h"
#include "engine/json.h"
#include "engine/text.h"
#include "models/attention/list.h"
#include "models/fields.h"
#include "models/page.h"
#include "models/plot.h"
#include "models/run_config.h"
#include "models/run_log.h"
#include "models/statistics.h"
#include "models/trajectories.h"

namespace fs = std::filesystem;

namespace {

// Flags that do not make two runs different, or are told apart by function and exponent.
const std::set<std::string> only_of_the_run{
    "attention",  "alpha",         "seed",    "threads", "workers",         "log-every",      "eval-every",
    "save-every", "inspect-every", "profile", "device",  "fused-attention", "fused-products", "remat"};

RunSummary read_run(const fs::path& folder, const fs::path& common) {
  RunSummary run;
  run.folder = folder.string(), run.name = folder.lexically_proximate(common).string();
  const std::map<std::string, std::string> flags = read_config(folder);
  try {
    run.attention = flags.at("attention");
    run.alpha = std::stod(flags.at("alpha"));
    run.qk_norm = flags.at("qk-norm") == "true", run.gate = flags.at("gate") == "true";
    run.steps = std::stoll(flags.at("steps"));
  } catch (const std::exception&) {
    fail(ExitCode::data, "{}: expected the flags of a run: attention, alpha, qk-norm, gate, steps",
         (folder / "config.toml").string());
  }
  run.scaled = has_alpha(run.attention);
  if (const auto seed = flags.find("seed"); seed != flags.end()) run.seed = seed->second;
  std::map<std::string, std::string> usual = field_texts(ViTConfig());
  const auto say = [&](const std::string& name) {
    const std::string flag = flag_of(name).substr(2);
    if (const auto given = flags.find(flag); given != flags.end() && given->second != usual[name])
      run.options += fmt::format(", {} {}", flag, given->second);
  };
  each_option([&](const auto& option) {
    if (option.variant) say(option.name);
  });
  say("learn");
  for (const auto& [flag, value] : flags)
    if (!only_of_the_run.contains(flag)) run.others += flag + "=" + value + "\n";
  double speeds = 0;
  int logged = 0;
  const RunRows log = read_rows(folder / "metrics.jsonl");
  if (!log.note.empty()) print_log("note    {}\n", log.note);
  for (const RunRow& row : log.rows) {
    run.step = std::max(run.step, row.step);
    if (row.loss) run.loss.emplace_back(row.step, *row.loss);
    if (row.images_per_second) speeds += *row.images_per_second, logged++;
    if (!row.val_accuracy) continue;
    run.last_step = row.step, run.last_accuracy = *row.val_accuracy, run.last_loss = row.val_loss.value_or(NAN);
    if (run.last_accuracy > run.best_accuracy)
      run.best_step = row.step, run.best_accuracy = run.last_accuracy, run.best_loss = run.last_loss;
    run.accuracy.emplace_back(row.step, 100 * run.last_accuracy);
  }
  run.images_per_second = logged ? speeds / logged : 0;
  return run;
}

// The nearest folder that both are in; of the first and the last of a sorted set, so are those between them.
fs::path common_parent(const fs::path& first, const fs::path& last) {
  const fs::path folder = first.parent_path();
  const auto end = std::mismatch(folder.begin(), folder.end(), last.begin(), last.end()).first;
  fs::path common;
  for (auto part = folder.begin(); part != end; ++part) common /= *part;
  return common;
}

std::string alpha_of(const RunSummary& run) { return run.scaled ? fmt::format("{}", run.alpha) : "-"; }
std::string percent(double part) { return fmt::format("{:.2f} %", 100 * part); }
std::string steps_of(const RunSummary& run) {
  return run.step < run.steps ? fmt::format("{} of {}", run.step, run.steps) : std::to_string(run.steps);
}

// What is said of a run, in the table and on the page. An accuracy stands beside the loss of the same evaluation.
const std::vector<std::string> run_columns{"attention",     "alpha",      "best accuracy", "loss there", "at step",
                                           "last accuracy", "loss there", "images/s",      "updates",    "run"};
std::vector<std::string> run_row(const RunSummary& run) {
  std::vector<std::string> row{
      run.function(), alpha_of(run), "-", "-", "-", "-", "-", fmt::format("{:.1f}", run.images_per_second),
      steps_of(run),  run.folder};
  if (run.best_accuracy < 0) return row;
  row[2] = percent(run.best_accuracy), row[3] = fmt::format("{:.4f}", run.best_loss),
  row[4] = std::to_string(run.best_step);
  row[5] = percent(run.last_accuracy), row[6] = fmt::format("{:.4f}", run.last_loss);
  return row;
}

// Columns as wide as what they hold: the first and, with `left_last`, the last one from the left, the others to the
// right.
std::string aligned(const std::vector<std::vector<std::string>>& rows, bool left_last) {
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], printable(row[i]).size());
  std::string text;
  for (const auto& row : rows) {
    std::string line = fmt::format("{:<{}}", printable(row[0]), widths[0]);
    for (size_t i = 1; i < row.size(); i++)
      line += left_last && i + 1 == row.size() ? "  " + printable(row[i])
                                               : fmt::format("  {:>{}}", printable(row[i]), widths[i]);
    text += line + "\n";
  }
  return text;
}

// Runs that differ in nothing but their seed, by what is compared here: function and exponent.
struct Alike {
  const RunSummary* first;
  std::map<std::string, Moments> by_seed;    // one seed counts once, also where several runs have it
  Moments accuracy;                    // over seeds, of the best of each run
  std::string name;  // the function; one that was trained in several ways, by other flags, also with a run of that way
};
std::vector<Alike> alike(const std::vector<RunSummary>& runs) {
  std::vector<Alike> groups;
  for (const RunSummary& run : runs) {
    if (run.best_accuracy < 0) continue;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Alike& a) {
      return a.first->function() == run.function() && a.first->alpha == run.alpha && a.first->others == run.others;
    });
    if (group == groups.end()) group = groups.insert(groups.end(), {&run, {}, {}, run.function()});
    group->by_seed[run.seed].add(run.best_accuracy);
  }
  for (Alike& a : groups)
    for (const auto& [seed, accuracy] : a.by_seed) a.accuracy.add(accuracy.mean());
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Alike& a, const Alike& b) { return a.accuracy.mean() > b.accuracy.mean(); });
  const auto of_one_function = [](const Alike& a, const Alike& b) {
    return a.first->function() == b.first->function();
  };
  for (Alike& a : groups) {
    const auto other = std::find_if(groups.begin(), groups.end(), [&](const Alike& b) {
      return of_one_function(a, b) && a.first->others != b.first->others;
    });
    const auto way = std::find_if(groups.begin(), groups.end(), [&](const Alike& b) {
      return of_one_function(a, b) && a.first->others == b.first->others;
    });
    if (other != groups.end()) a.name += " as in " + way->first->name;
  }
  return groups;
}
const std::vector<std::string> seeds_columns{"attention",    "alpha",       "seeds",
                                             "mean of best", "std (n - 1)", "lowest to highest"};
// Of the functions that were trained with several seeds.
std::vector<std::vector<std::string>> seeds_rows(const std::vector<Alike>& groups) {
  std::vector<std::vector<std::string>> rows;
  for (const Alike& a : groups) {
    const double n = a.accuracy.count;
    if (n < 2) continue;
    rows.push_back({a.name, alpha_of(*a.first), fmt::format("{:.0f}", n), percent(a.accuracy.mean()),
                    percent(a.accuracy.std() * std::sqrt(n / (n - 1))),
                    fmt::format("{:.2f} to {}", 100 * a.accuracy.min, percent(a.accuracy.max))});
  }
  return rows;
}

// Accuracy by α: for every function a row of the table, coloured from the worst to the best of all.
std::string heat_map(const std::vector<Alike>& groups) {
  std::set<double> alphas;
  std::map<std::string, std::map<double, Moments>> rows;
  double low = 1, high = 0;
  for (const Alike& a : groups) {
    low = std::min(low, a.accuracy.mean()), high = std::max(high, a.accuracy.mean());
    if (a.first->scaled) alphas.insert(a.first->alpha), rows[a.name][a.first->alpha] = a.accuracy;
  }
  std::string html = "<table class=map><tr><th>h \\ α</th>";
  for (const double alpha : alphas) html += fmt::format("<th>{}</th>", alpha);
  for (const auto& [name, values] : rows) {
    html += "</tr>\n<tr><th>" + escaped(name) + "</th>";
    for (const double alpha : alphas) {
      const auto found = values.find(alpha);
      if (found == values.end()) { html += "<td></td>"; continue; }
      const double mean = found->second.mean(), share = high > low ? (mean - low) / (high - low) : 1;
      html += fmt::format("<td style='background:hsl(205 70% {:.0f}%);color:{}'>{:.1f}</td>", 97 - 52 * share,
                          share > 0.75 ? "#fff" : "#000", 100 * mean);
    }
  }
  return html + "</tr></table>\n";
}

Plot by_alpha(const std::vector<Alike>& groups) {
  Plot plot{"Validation accuracy by exponent of L", "α in L^-α h(s)", "best validation accuracy, %", {}, true};
  std::map<std::string, Series> lines;
  for (const Alike& a : groups) {
    Series& line = lines[a.name];
    line.name = a.name, line.level = !a.first->scaled;
    line.points.emplace_back(a.first->alpha, 100 * a.accuracy.mean());
  }
  for (auto& [name, line] : lines) {
    std::sort(line.points.begin(), line.points.end());
    plot.series.push_back(line);
  }
  return plot;
}

// What tells a run from the others: its function and exponent; where that is not enough, its folder.
std::string label(const RunSummary& run, const std::vector<RunSummary>& runs) {
  const auto same = [&](const RunSummary& other) {
    return other.function() == run.function() && other.alpha == run.alpha;
  };
  const std::string name = run.function() + (run.scaled ? " α=" + alpha_of(run) : "");
  return std::count_if(runs.begin(), runs.end(), same) > 1 ? name + ", " + run.name : name;
}

// One plot of all runs; of more than a plot can show, one for each function.
std::vector<Plot> curves(const std::vector<RunSummary>& runs, const std::string& title, const std::string& y,
                         std::vector<std::pair<double, double>> RunSummary::* values) {
  constexpr size_t most_in_one = 8;
  std::map<std::string, Plot> plots;
  for (const RunSummary& run : runs) {
    if ((run.*values).size() < 2) continue;
    const bool apart = runs.size() > most_in_one;
    Plot& plot = plots[apart ? run.function() : ""];
    plot.title = apart ? title + ": " + run.function() : title, plot.x = "updates", plot.y = y;
    plot.series.push_back({label(run, runs), run.*values});
  }
  std::vector<Plot> list;
  for (const auto& [name, plot] : plots) list.push_back(plot);
  return list;
}

}  // namespace

std::string RunSummary::function() const {
  return attention + (gate ? ", gate" : "") + (qk_norm ? "" : ", no qk-norm") + options;
}

std::vector<RunSummary> read_runs(const std::vector<std::string>& folders) {
  std::set<fs::path> found;
  for (const std::string& folder : folders) {
    if (!fs::is_directory(folder)) fail(ExitCode::usage, "{} is no folder; expected run folders of train", folder);
    bool any = false;
    const auto add = [&](const fs::path& path) {
      if (!fs::exists(path / "config.toml") || !fs::exists(path / "metrics.jsonl")) return;
      const fs::path normal = path.lexically_normal();
      found.insert(normal.has_filename() ? normal : normal.parent_path());      // no slash at its end
      any = true;
    };
    add(folder);
    for (const auto& entry : fs::recursive_directory_iterator(folder)) if (entry.is_directory()) add(entry.path());
    if (!any) fail(ExitCode::data, "{} holds no run: no folder in it has a config.toml and a metrics.jsonl", folder);
  }
  std::vector<RunSummary> runs;
  for (const fs::path& folder : found) runs.push_back(read_run(folder, common_parent(*found.begin(), *found.rbegin())));
  return runs;
}

std::string report_table(const std::vector<RunSummary>& runs) {
  std::vector<std::vector<std::string>> rows{run_columns};
  for (const RunSummary& run : runs) rows.push_back(run_row(run));
  std::string text = aligned(rows, true);
  std::vector<std::vector<std::string>> seeds = seeds_rows(alike(runs));
  if (seeds.empty()) return text;
  seeds.insert(seeds.begin(), seeds_columns);
  return text + "\n" + aligned(seeds, false);
}

std::string report_json(const std::vector<RunSummary>& runs) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const RunSummary& run : runs) {
    nlohmann::ordered_json row{{"run", run.folder},      {"attention", run.attention},
                               {"qk_norm", run.qk_norm}, {"gate", run.gate},
                               {"seed", run.seed},       {"step", run.step},
                               {"steps", run.steps},     {"images_per_second", run.images_per_second}};
    if (run.scaled) row["alpha"] = run.alpha;
    if (run.best_accuracy >= 0)
      row.update({{"best_accuracy", run.best_accuracy},
                  {"best_loss", run.best_loss},
                  {"best_step", run.best_step},
                  {"last_accuracy", run.last_accuracy},
                  {"last_loss", run.last_loss},
                  {"last_step", run.last_step}});
    rows.push_back(row);
  }
  return json_text(nlohmann::ordered_json{{"runs", rows}});
}

std::string report_page(const std::vector<RunSummary>& runs) {
  std::string html = "<p>Accuracy and loss on the validation images.</p>\n<table>" + table_row(run_columns, "th");
  std::vector<RunSummary> ranked = runs;
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const RunSummary& a, const RunSummary& b) { return a.best_accuracy > b.best_accuracy; });
  for (const RunSummary& run : ranked)
    html += table_row(run_row(run));
  html += "</table>\n";
  const std::vector<Alike> groups = alike(runs);
  if (const auto seeds = seeds_rows(groups); !seeds.empty()) {
    html += "<h2>Over seeds</h2>\n<table>" + table_row(seeds_columns, "th");
    for (const auto& row : seeds) html += table_row(row);
    html += "</table>\n";
  }
  const Plot alpha = by_alpha(groups);
  const bool grid =
      std::any_of(alpha.series.begin(), alpha.series.end(), [](const Series& s) { return s.points.size() > 1; });
  if (grid) {
    html += "<h2>Accuracy in % by function and exponent</h2>\n" + heat_map(groups);
    html += figure(draw(alpha),
                   "Where does a function have its best exponent, and does it reach softmax (dashed)? In the paper the "
                   "best lies near α = 1. A difference smaller than that between two seeds says nothing; of several "
                   "seeds the mean is shown.");
  }
  for (const Plot& accuracy : curves(runs, "Validation accuracy", "accuracy, %", &RunSummary::accuracy))
    html += figure(draw(accuracy), "Do the curves still rise at the end? Then more updates could change their order.");
  for (const Plot& loss : curves(runs, "Training loss", "mean loss since the last point", &RunSummary::loss))
    html += figure(draw(loss),
                   "A curve that stays at its first value does not learn; one with spikes is near the largest learning "
                   "rate it bears.");
  std::vector<Trajectories> inside;
  for (const RunSummary& run : runs) inside.push_back(read_trajectories(run.folder, label(run, runs)));
  return page("Runs compared", html + trajectory_section(inside));
}
