#include "models/monitor.h"
#include <algorithm>
#include <fmt/format.h>

namespace {

std::vector<HeadColumn> cheap_columns() {
  std::vector<HeadColumn> columns;
  for (const char* name :
       {"row_sum_mean", "S_std", "zeros", "keys", "entropy", "dead_rows", "duty", "saturated", "gradient_ratio"})
    columns.push_back(head_column(name));
  return columns;
}

std::vector<std::string> column_names(const ViT& vit) {
  std::vector<std::string> names{"layer", "head"};
  for (const HeadColumn& column : cheap_columns()) names.push_back(column.name);
  for (const LearnedNumber& number : learned_numbers(vit.parameters(), vit.config(), 0))
    names.push_back("learned." + number.name);
  return names;
}

}  // namespace

Monitor::Monitor(const ViT& vit, const std::filesystem::path& folder, int64_t every, int images, int64_t step,
                 EventFile& events)
    : vit_(vit),
      every_(every),
      images_(images),
      csv_(folder / "inspect.csv", column_names(vit), step - 1),
      events_(events) {}

std::span<AttentionProbe* const> Monitor::probes() {
  statistics_.clear(), probes_.clear(), learned_.clear();
  for (int i = 0; i < vit_.config().depth; i++) {
    statistics_.push_back(std::make_unique<AttentionStatistics>(vit_.config(), images_));
    statistics_.back()->thorough = false;
    probes_.push_back(statistics_.back().get());
    learned_.push_back(learned_numbers(vit_.parameters(), vit_.config(), i));
  }
  return probes_;
}

void Monitor::write(int64_t step) {
  const double now = unix_time();
  const std::vector<HeadColumn> columns = cheap_columns();
  for (size_t layer = 0; layer < statistics_.size(); layer++) {
    const std::vector<HeadStatistics> heads = statistics_[layer]->heads();
    std::vector<Moments> of_layer(csv_.columns().size());                // over the heads that have the number
    for (size_t head = 0; head < heads.size(); head++) {
      std::vector<double> row{double(layer), double(head)};
      for (const HeadColumn& column : columns) row.push_back(column.value(heads[head]));
      for (const LearnedNumber& number : learned_[layer]) row.push_back(number.values[head % number.values.size()]);
      for (size_t i = 0; i < row.size(); i++) if (std::isfinite(row[i])) of_layer[i].add(row[i]);
      csv_.add(step, row);
    }
    for (size_t i = 2; i < of_layer.size(); i++)
      if (of_layer[i].count > 0)
        events_.scalar(fmt::format("inspect/{}/layer {}", csv_.columns()[i], layer), of_layer[i].mean(), step, now);
    HeadStatistics all;
    AttentionStatistics::Histograms counted;
    for (size_t head = 0; head < heads.size(); head++) {
      const AttentionStatistics::Histograms& h = statistics_[layer]->histograms()[head];
      all.merge(heads[head]);
      counted.S.merge(h.S), counted.A.merge(h.A), counted.dA.merge(h.dA), counted.dS.merge(h.dS);
    }
    if (all.rows > 0)
      for (const auto& [name, histogram, m] : {std::tuple{"S", &counted.S, all.S},
                                               {"A", &counted.A, all.A},
                                               {"dA", &counted.dA, all.dA},
                                               {"dS", &counted.dS, all.dS}})
        events_.histogram(fmt::format("inspect/{}/layer {}", name, layer), *histogram, m.min, m.max, m.sum, m.squares,
                          step, now);
  }
  statistics_.clear();
}

void Monitor::timed(double seconds, bool looked) {
  if (!first_) (looked ? looked_ : others_).push_back(seconds);
  first_ = false;
}

std::string Monitor::cost() const {
  if (looked_.empty() || others_.empty()) return "too few updates to tell what looking inside cost";
  const auto median = [](std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + long(values.size() / 2), values.end());
    return values[values.size() / 2];
  };
  const double with = median(looked_), without = median(others_), cost = (with - without) * double(looked_.size()),
               all = without * double(looked_.size() + others_.size());
  return fmt::format(
      "{} updates with a look inside took {:.4f} s each (median), {} others {:.4f} s: {:.2f} s in all, {:.2f} % of the "
      "run",
      looked_.size(), with, others_.size(), without, cost, 100 * cost / (all + cost));
}
