#include "data/shards/scan.h"

int32_t Scan::add_label_set(std::span<const int32_t> labels) {
  const int32_t at = int32_t(label_sets.size());
  label_sets.push_back(int32_t(labels.size()));
  label_sets.insert(label_sets.end(), labels.begin(), labels.end());
  return -1 - at;
}

std::span<const int32_t> Scan::labels_of(const Sample& sample) const {
  if (sample.label >= 0) return {&sample.label, 1};
  const int32_t* set = &label_sets[size_t(-1 - sample.label)];
  return {set + 1, size_t(*set)};
}

void Scan::relabel(std::span<const int32_t> map) {
  for (Sample& sample : samples) {
    if (sample.label >= 0) {
      sample.label = map[size_t(sample.label)];
      continue;
    }
    int32_t* set = &label_sets[size_t(-1 - sample.label)];
    for (int32_t i = 1; i <= *set; i++) set[i] = map[size_t(set[i])];
  }
}

void Scan::keep(const std::function<bool(size_t)>& wanted) {
  size_t kept = 0, link = 0, kept_links = 0;
  for (size_t k = 0; k < samples.size(); k++) {
    const bool linked = link < links.size() && links[link].sample == k;
    if (wanted(k)) {
      if (linked) links[kept_links++] = {kept, links[link].header};
      samples[kept++] = samples[k];
    }
    link += linked;
  }
  samples.resize(kept);
  links.resize(kept_links);
}
