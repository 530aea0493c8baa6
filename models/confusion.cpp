#include "models/confusion.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include "engine/text.h"
#include "models/page.h"

namespace {

constexpr size_t most_examples = 4;      // of a pair
constexpr size_t most_on_screen = 40;    // classes of a table that is read; more are the worst of them

std::string share(double part) { return std::isnan(part) ? "-" : fmt::format("{:.2f} %", 100 * part); }

// The classes with images, the least accurate first where there are more than fit.
std::vector<int> shown_classes(const Confusion& c) {
  std::vector<int> labels = c.labels();
  if (labels.size() <= most_on_screen) return labels;
  std::stable_sort(labels.begin(), labels.end(), [&](int a, int b) { return c.accuracy(a) < c.accuracy(b); });
  labels.resize(most_on_screen);
  return labels;
}

std::string cells_of(const Confusion& c, const std::vector<int>& shown) {
  std::string html = "<table class=map><tr><th>is \\ taken for</th>";
  for (const int p : shown) html += "<th>" + escaped(c.name(p)) + "</th>";
  html += "</tr>\n";
  for (const int label : shown) {
    html += "<tr><th>" + escaped(c.name(label)) + "</th>";
    for (const int p : shown) {
      const uint64_t count = c.cell(label, p);
      const double part = c.images(label) ? double(count) / double(c.images(label)) : 0;
      html += count ? fmt::format("<td style='background:hsl({} 70% {:.0f}%);color:{}'>{}</td>", label == p ? 205 : 10,
                                  97 - 52 * part, part > 0.75 ? "#fff" : "#000", count)
                    : "<td></td>";
    }
    html += "</tr>\n";
  }
  return html + "</table>\n";
}

}    // namespace

void Confusion::add(uint64_t sample, Labels labels, int predicted) {
  if (labels.empty()) {
    unlabelled_++;
    return;
  }
  const int label = std::find(labels.begin(), labels.end(), predicted) != labels.end() ? predicted : labels[0];
  count_++;
  images_[size_t(label)]++;
  predicted_[size_t(predicted)]++;
  Cell& cell = cells_[{label, predicted}];
  cell.count++;
  if (label != predicted && cell.examples.size() < most_examples) cell.examples.push_back(sample);
}

uint64_t Confusion::cell(int label, int predicted) const {
  const auto found = cells_.find({label, predicted});
  return found == cells_.end() ? 0 : found->second.count;
}

uint64_t Confusion::correct() const {
  uint64_t all = 0;
  for (const auto& [of, cell] : cells_) all += of.first == of.second ? cell.count : 0;
  return all;
}

std::vector<int> Confusion::labels() const {
  std::vector<int> list;
  for (int c = 0; c < int(names_.size()); c++)
    if (images(c)) list.push_back(c);
  return list;
}

std::vector<int> Confusion::occurring() const {
  std::vector<int> list;
  for (int c = 0; c < int(names_.size()); c++)
    if (images(c) || predicted(c)) list.push_back(c);
  return list;
}

std::vector<ConfusedPair> Confusion::pairs(size_t most) const {
  std::vector<ConfusedPair> list;
  for (const auto& [of, cell] : cells_)
    if (of.first != of.second) list.push_back({of.first, of.second, cell.count});
  std::stable_sort(list.begin(), list.end(),
                   [](const ConfusedPair& a, const ConfusedPair& b) { return a.count > b.count; });
  list.resize(std::min(list.size(), most));
  return list;
}

const std::vector<uint64_t>& Confusion::examples(const ConfusedPair& pair) const {
  return cells_.at({pair.label, pair.predicted}).examples;
}

std::string confusion_text(const Confusion& c, size_t pairs) {
  size_t width = 5;
  const std::vector<int> shown = shown_classes(c);
  for (const int label : shown) width = std::max(width, printable(c.name(label)).size());
  std::string text = fmt::format("top-1  {} ({}/{}){}\n\n", share(c.accuracy()), c.correct(), c.count(),
                                 c.unlabelled() ? fmt::format(", {} without a label", c.unlabelled()) : "");
  if (shown.size() < c.labels().size())
    text += fmt::format("the {} least accurate of {} classes:\n", shown.size(), c.labels().size());
  text += fmt::format("{:<{}}{:>9}{:>9}{:>11}\n", "class", width, "images", "correct", "accuracy");
  for (const int label : shown)
    text += fmt::format("{:<{}}{:>9}{:>9}{:>11}\n", printable(c.name(label)), width, c.images(label),
                        c.cell(label, label), share(c.accuracy(label)));
  if (c.correct() < c.count()) text += "\nmost often confused:\n";
  for (const ConfusedPair& pair : c.pairs(pairs))
    text += fmt::format("{:>6}  {} taken for {} ({} of {})\n", pair.count, printable(c.name(pair.label)),
                        printable(c.name(pair.predicted)), share(double(pair.count) / double(c.images(pair.label))),
                        c.images(pair.label));
  return text;
}

nlohmann::ordered_json confusion_json(const Confusion& c, size_t pairs) {
  nlohmann::ordered_json classes = nlohmann::ordered_json::array(), confused = nlohmann::ordered_json::array();
  for (const int label : c.labels())
    classes.push_back({{"class", label},
                       {"name", c.name(label)},
                       {"images", c.images(label)},
                       {"correct", c.cell(label, label)},
                       {"predicted", c.predicted(label)}});
  for (const ConfusedPair& pair : c.pairs(pairs))
    confused.push_back({{"true", c.name(pair.label)}, {"predicted", c.name(pair.predicted)}, {"count", pair.count}});
  return {{"count", c.count()},
          {"without_label", c.unlabelled()},
          {"top1", c.accuracy()},
          {"classes", classes},
          {"pairs", confused}};
}

std::string confusion_csv(const Confusion& c) {
  const std::vector<int> columns = c.occurring();
  std::vector<std::string> cells = {"true"};
  for (const int p : columns) cells.push_back(c.name(p));
  std::string csv = csv_line(cells);
  for (const int label : c.labels()) {
    cells = {c.name(label)};
    for (const int p : columns) cells.push_back(std::to_string(c.cell(label, p)));
    csv += csv_line(cells);
  }
  return csv;
}

std::string classes_csv(const Confusion& c) {
  std::string csv = "class,name,images,correct,accuracy,predicted,precision\n";
  const auto number = [](double x) { return std::isnan(x) ? std::string() : fmt::format("{:.6g}", x); };
  for (const int k : c.occurring())
    csv += csv_line({std::to_string(k), c.name(k), std::to_string(c.images(k)), std::to_string(c.cell(k, k)),
                     number(c.accuracy(k)), std::to_string(c.predicted(k)),
                     number(double(c.cell(k, k)) / double(c.predicted(k)))});
  return csv;
}

std::string confusion_page(const Confusion& c, size_t pairs, const std::string& what,
                           const std::function<std::string(uint64_t)>& picture) {
  std::string html = fmt::format(
      "<p>{}</p>\n<p>{} of {} images are told right, {}.{}</p>\n", escaped(what), c.correct(), c.count(),
      share(c.accuracy()), c.unlabelled() ? fmt::format(" {} have no label and do not count.", c.unlabelled()) : "");
  html += "<h2>Most often confused</h2>\n";
  if (c.correct() == c.count()) html += "<p>None.</p>\n";
  for (const ConfusedPair& pair : c.pairs(pairs)) {
    html += fmt::format("<h3>{} taken for {}: {} of {}, {}</h3>\n<p>", escaped(c.name(pair.label)),
                        escaped(c.name(pair.predicted)), pair.count, c.images(pair.label),
                        share(double(pair.count) / double(c.images(pair.label))));
    for (const uint64_t sample : c.examples(pair)) html += picture(sample);
    html += "</p>\n";
  }
  const std::vector<int> all = c.occurring(), labels = shown_classes(c);
  if (all.size() <= most_on_screen)
    html +=
        "<h2>Counts</h2>\n<p>A row for each true class, a column for each predicted one. Blue is right, red is wrong, "
        "by its share of the row.</p>\n" +
        cells_of(c, all);
  html += fmt::format("<h2>{}</h2>\n<table>",
                      labels.size() < c.labels().size()
                          ? fmt::format("The {} least accurate of {} classes", labels.size(), c.labels().size())
                          : "Each class");
  html += table_row({"class", "images", "correct", "accuracy", "predicted", "precision"}, "th");
  for (const int k : labels)
    html += table_row({c.name(k), std::to_string(c.images(k)), std::to_string(c.cell(k, k)), share(c.accuracy(k)),
                       std::to_string(c.predicted(k)), share(double(c.cell(k, k)) / double(c.predicted(k)))});
  return page("What is taken for what", html + "</table>\n", "img{width:8rem;image-rendering:pixelated;margin:.2rem}");
}
