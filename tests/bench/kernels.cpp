#include "tests/bench/kernels.h"
#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <fstream>
#include <span>
#include "engine/error.h"
#include "engine/profile.h"

namespace {

// The fields of a line in which every field is quoted; two quotes are one.
std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields;
  bool quoted = false;
  for (size_t i = 0; i < line.size(); i++) {
    if (line[i] != '"') {
      if (quoted) fields.back() += line[i];
    } else if (quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[i++];
    } else if (quoted = !quoted; quoted) {
      fields.emplace_back();
    }
  }
  return fields;
}

double number(const std::filesystem::path& csv, size_t line, std::string text) {
  std::erase(text, ','); // of thousands
  double x = 0;
  if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
      error != std::errc() || end != text.data() + text.size())
    fail(ExitCode::data, "{}: line {}: '{}', expected a number", csv.string(), line, text);
  return x;
}

// The kernel without its template and arguments: rows_kernel<LayerNormForward>(...) -> LayerNormForward
std::string short_name(std::string name) {
  const size_t wrapper = std::min(name.find("rows_kernel<"), name.find("each_kernel<"));
  if (wrapper != name.npos) name = name.substr(wrapper + 12);
  if (const size_t arguments = name.find('('); arguments != name.npos && arguments > 0) name.resize(arguments);
  if (wrapper != name.npos && name.ends_with('>')) name.pop_back();
  return name.size() > 60 ? name.substr(0, 60) : name;
}

} // namespace

std::vector<Kernel> read_kernels(const std::filesystem::path& csv) {
  std::ifstream file(csv);
  if (!file) fail(ExitCode::data, "{}: cannot be read; give what ncu --csv printed", csv.string());
  constexpr const char* wanted[] = {"Kernel Name", "gpu__time_duration.sum", "dram__bytes_read.sum",
                                    "dram__bytes_write.sum"};
  size_t columns[4], count = 0, line_number = 0;
  std::vector<Kernel> kernels;
  for (std::string line; std::getline(file, line);) {
    line_number++;
    const std::vector<std::string> fields = fields_of(line);
    if (!count) {
      if (std::find(fields.begin(), fields.end(), wanted[0]) == fields.end()) continue;
      for (int k = 0; k < 4; k++) {
        columns[k] = size_t(std::find(fields.begin(), fields.end(), wanted[k]) - fields.begin());
        if (columns[k] == fields.size())
          fail(ExitCode::data, "{}: line {}: no column {}, expected it of ncu --page raw --metrics", csv.string(),
               line_number, wanted[k]);
      }
      count = fields.size();
    } else if (fields.size() == count && !fields[columns[0]].empty()) { // units have no name
      kernels.push_back({fields[columns[0]], 1e-9 * number(csv, line_number, fields[columns[1]]),
                         number(csv, line_number, fields[columns[2]]), number(csv, line_number, fields[columns[3]])});
    }
  }
  if (!count)
    fail(ExitCode::data, "{}: no line has the column \"Kernel Name\"; give what ncu --csv --page raw printed",
         csv.string());
  return kernels;
}

std::vector<Kernel> last_step(const std::vector<Kernel>& kernels) {
  const auto updates = [](const Kernel& k) { return k.name.find("AdamStep") != k.name.npos; };
  const auto end = std::find_if(kernels.rbegin(), kernels.rend(), updates); // the last of an update's pieces
  const auto pass = std::find_if_not(end, kernels.rend(), updates);
  const auto before = std::find_if(pass, kernels.rend(), updates);
  if (before == kernels.rend())
    fail(ExitCode::data, "kernels: {} of them hold no whole step; measure two steps", kernels.size());
  return {before.base(), end.base()};
}

std::map<std::string, Work, std::less<>> measured_parts(const std::vector<Kernel>& step) {
  std::map<std::string, Work, std::less<>> parts;
  for (const Kernel& k : step) {
    Work& w = parts[std::string(part_of(k.name))];
    w.seconds += k.seconds, w.read += k.read, w.written += k.written, w.launches++;
  }
  return parts;
}

std::string kernels_table(const std::vector<Kernel>& step, const StepBudget& budget, int longest) {
  std::vector<std::pair<std::string, Work>> parts;
  for (const auto& part : measured_parts(step)) parts.push_back(part);
  const auto by_time = [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; };
  std::sort(parts.begin(), parts.end(), by_time);
  std::string text = fmt::format("{:<26}{:>9}{:>9}{:>9}   {:>9}{:>9}{:>9}\n", "part", "ms", "GB", "launches",
                                 "model ms", "GB", "launches");
  Work all;
  auto line = [&](const std::string& name, const Work& w, const Work& model) {
    text += fmt::format("{:<26}{:>9.3f}{:>9.3f}{:>9}   {:>9.3f}{:>9.3f}{:>9}\n", name, 1e3 * w.seconds, w.bytes() / 1e9,
                        w.launches, 1e3 * model.seconds, model.bytes() / 1e9, model.launches);
  };
  for (const auto& [name, work] : parts) {
    const auto model = budget.parts.find(name);
    line(name, work, model == budget.parts.end() ? Work{} : model->second);
    all.seconds += work.seconds, all.read += work.read, all.written += work.written, all.launches += work.launches;
  }
  line("all", all, budget.total());

  std::map<std::string, Work> by_name;
  for (const Kernel& k : step) {
    Work& w = by_name[short_name(k.name)];
    w.seconds += k.seconds, w.read += k.read, w.written += k.written, w.launches++;
  }
  std::vector<std::pair<std::string, Work>> kernels(by_name.begin(), by_name.end());
  std::sort(kernels.begin(), kernels.end(), by_time);
  text += fmt::format("{:<62}{:>8}{:>9}{:>9}{:>8}\n", "kernel", "ms", "GB", "launches", "TB/s");
  for (const auto& [name, w] : std::span(kernels).first(std::min<size_t>(kernels.size(), size_t(longest))))
    text += fmt::format("{:<62}{:>8.3f}{:>9.3f}{:>9}{:>8.2f}\n", name, 1e3 * w.seconds, w.bytes() / 1e9, w.launches,
                        w.seconds > 0 ? w.bytes() / w.seconds / 1e12 : 0);
  return text;
}
