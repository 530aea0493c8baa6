#include "models/statistics.h"
#include <algorithm>
#include <cmath>
#include "engine/error.h"

void Moments::add(double x) {
  count++, sum += x, squares += x * x;
  min = std::min(min, x), max = std::max(max, x);
}

void Moments::add(const real* x, size_t n) {
  double s = 0, q = 0;
  real low = n ? x[0] : 0, high = low;
#pragma omp simd reduction(+ : s, q) reduction(min : low) reduction(max : high)
  for (size_t i = 0; i < n; i++) {
    const double v = x[i];
    s += v, q += v * v;
    low = x[i] < low ? x[i] : low, high = high < x[i] ? x[i] : high;
  }
  if (n)
    count += double(n), sum += s, squares += q, min = std::min(min, double(low)), max = std::max(max, double(high));
}

void Moments::merge(const Moments& other) {
  count += other.count, sum += other.sum, squares += other.squares;
  min = std::min(min, other.min), max = std::max(max, other.max);
}

double Moments::std() const {
  const double variance = squares / count - mean() * mean();
  return variance < 0 ? 0 : std::sqrt(variance);                       // a NaN stays one
}

void HeadStatistics::merge(const HeadStatistics& o) {
  for (Moments HeadStatistics::* m :
       {&HeadStatistics::S, &HeadStatistics::A, &HeadStatistics::dA, &HeadStatistics::dS, &HeadStatistics::row_sum,
        &HeadStatistics::D, &HeadStatistics::entropy, &HeadStatistics::keys, &HeadStatistics::top,
        &HeadStatistics::distance, &HeadStatistics::q, &HeadStatistics::k, &HeadStatistics::v, &HeadStatistics::dq,
        &HeadStatistics::dk, &HeadStatistics::dv})
    (this->*m).merge(o.*m);
  for (double HeadStatistics::* n :
       {&HeadStatistics::rows, &HeadStatistics::dead_rows, &HeadStatistics::zeros, &HeadStatistics::negative,
        &HeadStatistics::asked, &HeadStatistics::passed, &HeadStatistics::saturated})
    this->*n += o.*n;
}

const std::vector<HeadColumn>& head_columns() {
  using H = HeadStatistics;
  static const std::vector<HeadColumn> columns = [] {
    std::vector<HeadColumn> list;
    for (const auto& [name, m] : {std::pair{"S", &H::S},
                                  {"A", &H::A},
                                  {"dA", &H::dA},
                                  {"dS", &H::dS},
                                  {"row_sum", &H::row_sum},
                                  {"D", &H::D}}) {
      list.push_back({name + std::string("_mean"), [m = m](const H& h) { return (h.*m).mean(); }});
      list.push_back({name + std::string("_std"), [m = m](const H& h) { return (h.*m).std(); }});
      list.push_back({name + std::string("_min"), [m = m](const H& h) { return (h.*m).min; }});
      list.push_back({name + std::string("_max"), [m = m](const H& h) { return (h.*m).max; }});
    }
    for (const auto& [name, share] : {std::pair{"zeros", &H::zero_share},
                                      {"negative", &H::negative_share},
                                      {"dead_rows", &H::dead_share},
                                      {"duty", &H::duty},
                                      {"saturated", &H::saturated_share},
                                      {"gradient_ratio", &H::gradient_ratio}})
      list.push_back({name, [share = share](const H& h) { return (h.*share)(); }});
    for (const auto& [name, m] :
         {std::pair{"keys", &H::keys}, {"entropy", &H::entropy}, {"top", &H::top}, {"distance", &H::distance}})
      list.push_back({name, [m = m](const H& h) { return (h.*m).mean(); }});
    for (const auto& [name, m] :
         {std::pair{"q", &H::q}, {"k", &H::k}, {"v", &H::v}, {"dq", &H::dq}, {"dk", &H::dk}, {"dv", &H::dv}})
      list.push_back({name + std::string("_norm"), [m = m](const H& h) { return (h.*m).norm(); }});
    return list;
  }();
  return columns;
}

const HeadColumn& head_column(const std::string& name) {
  for (const HeadColumn& column : head_columns())
    if (column.name == name) return column;
  fail(ExitCode::failed, "statistics: there is no column '{}'", name);
}

Saturation saturation_of(std::string_view attention, int L) {
  Saturation saturation;
  AttentionFunctions::visit(attention, 1, L, [&](const auto& f) { saturation = f.saturation(L); });
  return saturation;
}

AttentionStatistics::AttentionStatistics(const ViTConfig& config, int images)
    : config_(config),
      heads_(config.attention_heads()),
      grid_(config),
      flat_(saturation_of(config.attention, config.tokens())),
      parts_(size_t(images) * heads_),
      histograms_(heads_) {
  for (int dy = 1 - grid_.side; dy < grid_.side; dy++)
    for (int dx = 1 - grid_.side; dx < grid_.side; dx++) distances_.push_back(float(grid_.patch * std::hypot(dy, dx)));
}

void AttentionStatistics::keep(const std::string& name, int images) {
  std::vector<float>& values = kept_[name];
  values.resize(std::max(values.size(), size_t(images) * heads_ * grid_.tokens() * kept_width(config_, name)),
                std::numeric_limits<float>::quiet_NaN());
}

int AttentionStatistics::kept_width(const ViTConfig& c, const std::string& name) {
  if (name == "S" || name == "A" || name == "dA" || name == "dS") return c.tokens();
  return name == "v" || name == "dO" || name == "dv" ? c.value_width() : c.head_width();
}

// ln x of a normal float, and of zero and smaller ones about -88: exponent and fraction apart; vectorises.
static float logarithm(float x) {
  constexpr float least = std::numeric_limits<float>::min();
  const int32_t bits = std::bit_cast<int32_t>(x < least ? least : x);
  return float((bits >> 23) - 127) * 0.693147181f +
         log1p_unit(std::bit_cast<float>((bits & 0x7FFFFF) | 0x3F800000) - 1);
}

void AttentionStatistics::tile(const AttentionTile& t) {
  if (!t.dS) return;  // a forward pass: the backward pass shows S and A again
  HeadStatistics part;
  const size_t n = size_t(t.rows) * t.L;
  part.S.add(t.S, n), part.A.add(t.A, n), part.dA.add(t.dA, n), part.dS.add(t.dS, n);
  const real low = real(flat_.low), high = real(flat_.high);
  int zeros = 0, negative = 0, asked = 0, passed = 0, saturated = 0;
#pragma omp simd reduction(+ : zeros, negative, asked, passed, saturated)
  for (size_t i = 0; i < n; i++) {                                     // & and |, not && and ||: no branches
    zeros += t.A[i] == 0, negative += t.A[i] < 0;
    asked += t.dA[i] != 0, passed += (t.dA[i] != 0) & (t.dS[i] != 0);
    saturated += (t.S[i] <= low) | (t.S[i] >= high);
  }
  part.zeros = double(zeros), part.negative = double(negative), part.asked = double(asked),
  part.passed = double(passed),
  part.saturated = flat_.any() ? double(saturated) : std::numeric_limits<double>::quiet_NaN();
  for (int i = 0; i < t.rows; i++) add_row(part, t.first_row + i, t.A + size_t(i) * t.L, t.dA + size_t(i) * t.L, t.L);
  parts_[size_t(first_image + t.image) * heads_ + t.head].merge(part);
  keep_tile(t);

  uint32_t counts[4][Histogram::bins] = {};
  const real* const maps[] = {t.S, t.A, t.dA, t.dS};
  for (size_t first = 0; first < n; first += 256) {
    int bins[4][256];  // apart from counting: this part becomes SIMD code
    const size_t end = std::min<size_t>(256, n - first);
    for (int k = 0; k < 4; k++)
#pragma omp simd
      for (size_t i = 0; i < end; i++) bins[k][i] = Histogram::bin_of(float(maps[k][first + i]));
    for (size_t i = 0; i < end; i++)  // map after map would wait for the bin of the value before
      for (int k = 0; k < 4; k++) counts[k][bins[k][i]]++;
  }
  const std::lock_guard lock(mutex_);
  Histograms& all = histograms_[t.head];
  Histogram* const sums[] = {&all.S, &all.A, &all.dA, &all.dS};
  for (int k = 0; k < 4; k++)
    for (int b = 0; b < Histogram::bins; b++) sums[k]->counts[b] += counts[k][b];
  note_broken(t, part);
}

void AttentionStatistics::add_row(HeadStatistics& h, int row, const real* A, const real* dA, int L) const {
  double sum = 0, mass = 0, squares = 0, dot = 0, logs = 0;
  real top = 0;
#pragma omp simd reduction(+ : sum, mass, squares, dot, logs) reduction(max : top)
  for (int j = 0; j < L; j++) {
    const real a = std::fabs(A[j]);
    sum += A[j], mass += a, squares += double(a) * a, dot += double(A[j]) * dA[j];
    logs += double(a) * logarithm(float(a));
    top = top < a ? a : top;
  }
  h.rows++;
  h.row_sum.add(sum), h.D.add(dot);
  if (mass == 0) {
    h.dead_rows++;
    return;
  }
  h.entropy.add(std::log(mass) - logs / mass);                         // -Σ p ln p with p = a / mass
  h.keys.add(mass * mass / squares);
  h.top.add(top / mass);
  const int first = grid_.class_token, side = grid_.side, patch = row - first;
  if (patch < 0 || !thorough) return;
  double reach = 0, patches = 0;
  for (int y = 0; y < side; y++) {
    const real* weights = A + first + y * side;
    const float* distance =
        distances_.data() + size_t(y - patch / side + side - 1) * (2 * side - 1) + (side - 1 - patch % side);
#pragma omp simd reduction(+ : reach, patches)
    for (int x = 0; x < side; x++) {
      const double a = std::fabs(weights[x]);
      reach += a * distance[x], patches += a;
    }
  }
  if (patches > 0) h.distance.add(reach / patches);
}

void AttentionStatistics::keep_tile(const AttentionTile& t) {
  for (auto [name, values] : {std::pair{"S", t.S}, {"A", t.A}, {"dA", t.dA}, {"dS", t.dS}}) {
    const auto found = kept_.find(name);
    const size_t to = ((size_t(first_image + t.image) * heads_ + t.head) * t.L + t.first_row) * t.L,
                 n = size_t(t.rows) * t.L;
    if (found != kept_.end() && to + n <= found->second.size())
      std::copy_n(values, n, found->second.begin() + long(to));
  }
}

void AttentionStatistics::note_broken(const AttentionTile& t, const HeadStatistics& part) {
  const auto note = [&](std::optional<Place>& first, const char* map, const Moments& m) {
    const Place place{map, first_image + t.image, t.head, t.first_row, t.rows};
    if (!std::isfinite(m.squares) && (!first || place.order() < first->order())) first = place;
  };
  note(broken_forward_, "S", part.S), note(broken_forward_, "A", part.A);
  note(broken_backward_, "dA", part.dA), note(broken_backward_, "dS", part.dS);
}

void AttentionStatistics::operands(Device& device, const AttentionOperands& o) {
  const AttentionShape& n = o.n;
  using H = HeadStatistics;
  const struct { const char* name; HeadOperands rows; int width; Moments H::*moments;
  } all[] = {{"q", o.q, n.d, &H::q},       {"k", o.k, n.d, &H::k},    {"v", o.v, n.dv, &H::v},
             {"dO", o.d_o, n.dv, nullptr}, {"dq", o.dq, n.d, &H::dq}, {"dk", o.dk, n.d, &H::dk},
             {"dv", o.dv, n.dv, &H::dv}};
  for (const auto& [name, rows, width, moments] : all) {
    const auto found = kept_.find(name);
    const bool count = moments && thorough;
    if (found == kept_.end() && !count) continue;
    // from the first channel of the heads to the last
    std::vector<real> values((size_t(n.B) * rows.L - 1) * rows.width + n.H * width);
    if (rows.data.rounded) {
      std::vector<bf16> rounded(values.size());
      device.download(rounded.data(), rows.data.rounded, rounded.size() * sizeof(bf16));
      std::transform(rounded.begin(), rounded.end(), values.begin(), from_bf16);
    } else {
      device.download(values.data(), rows.data.full, values.size() * sizeof(real));
    }
    const HeadRows<const real> here{values.data(), rows.L, rows.width};
    for (int b = 0; b < n.B; b++)
      for (int h = 0; h < n.H; h++)
        for (int i = 0; i < rows.L; i++) {
          const real* x = here.at(b, i, h, width);
          const size_t to = ((size_t(first_image + b) * n.H + h) * rows.L + i) * width;
          if (found != kept_.end() && to + width <= found->second.size())
            std::copy_n(x, width, found->second.begin() + long(to));
          if (count) (parts_[size_t(first_image + b) * heads_ + h].*moments).add(x, width);
        }
  }
}

std::vector<HeadStatistics> AttentionStatistics::heads() const {
  std::vector<HeadStatistics> all(heads_);
  for (size_t i = 0; i < parts_.size(); i++) all[i % heads_].merge(parts_[i]);
  return all;
}
