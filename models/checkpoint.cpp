#include "models/checkpoint.h"
#include <charconv>
#include <limits>
#include "engine/error.h"
#include "engine/json.h"
#include "engine/safetensors.h"
#include "engine/signals.h"

namespace {

template <class T>
T number(const Metadata& metadata, const std::string& key, const std::filesystem::path& path,
         T low = std::numeric_limits<T>::lowest()) {
  const auto found = metadata.find(key);
  if (found == metadata.end())
    fail(ExitCode::data, "{}: metadata has no '{}'; this is no training state", path.string(), key);
  const std::string& text = found->second;
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low)
    fail(ExitCode::data, "{}: metadata '{}' is '{}', expected a number{}", path.string(), key, text,
         low == T() ? " from 0" : "");
  return value;
}

void check_identity(const SafeTensors& file, const std::filesystem::path& path, const Metadata& identity) {
  const std::string absent = "(absent)";
  Metadata begun = field_texts(ViTConfig());      // what older programs left out
  for (const auto& [key, value] : file.metadata())
    if (!key.starts_with("state.") && !of_every_file(key)) begun[key] = value;
  for (const auto& [key, value] : identity) begun.emplace(key, absent);
  for (const auto& [key, saved] : begun) {
    const auto found = identity.find(key);
    const std::string value = found == identity.end() ? absent : found->second;
    if (saved != value && key == "run.steps")
      fail(ExitCode::usage, "{}: the run was started with {} = {}, now it is {}; a run's length is fixed, as its "
           "learning rates follow from it: leave --steps and --epochs out to finish it, or train longer from its "
           "weights with --init {} in another --out", path.string(), key, saved, value,
           (path.parent_path() / "last.safetensors").string());
    if (saved != value)
      fail(ExitCode::usage,
           "{}: the run was started with {} = {}, now it is {}; resume with the same, or start anew in "
           "another --out",
           path.string(), key, saved, value);
  }
}

constexpr int64_t most_updates = int64_t(1) << 60;
constexpr std::string_view log_key = "state.log.";

TrainingState::Window window_of(const Metadata& metadata, const std::filesystem::path& path, double seconds) {
  if (!metadata.contains("state.window.steps")) return {.seconds = seconds};      // as older programs went on
  return {number<double>(metadata, "state.window.loss", path), number<double>(metadata, "state.window.wait", path),
          number<double>(metadata, "state.window.seconds", path),
          number<int64_t>(metadata, "state.window.steps", path, 0),
          number<int64_t>(metadata, "state.window.correct", path, 0)};
}

LogSizes logs_of(const Metadata& metadata, const std::filesystem::path& path) {
  LogSizes logs;
  for (const auto& [key, value] : metadata)
    if (key.starts_with(log_key)) logs[key.substr(log_key.size())] = number<uint64_t>(metadata, key, path);
  return logs;
}

template <class T>
StoredTensor stored(const std::string& name, const std::string& dtype, const std::vector<T>& values) {
  return {name, dtype, {int64_t(values.size())}, std::as_bytes(std::span(values))};
}

// All parameters in the flat order that gradients and moments have.
std::vector<float> flat_values(const Parameters& parameters) {
  std::vector<float> values(parameters.size());
  for (const Parameter& p : parameters.list()) {
    const std::vector<float> v = parameters.get(p);
    std::copy(v.begin(), v.end(), values.begin() + p.offset);
  }
  return values;
}

}  // namespace

std::map<std::string, NamedTensor> tensors_of(const ViT& vit) {
  std::map<std::string, NamedTensor> tensors;
  for (const Parameter& p : vit.parameters().list()) {
    std::vector<int64_t> shape;
    for (int i = 0; i < p.shape.rank(); i++) shape.push_back(p.shape[i]);
    tensors[p.name] = {shape, vit.parameters().get(p)};
  }
  return tensors;
}

void save_weights(const std::filesystem::path& path, const ViT& vit, const Preprocess& preprocess,
                  const std::vector<std::string>& classes, Metadata extra) {
  extra["crop"] = preprocess.crop;
  if (!classes.empty()) extra["class_names"] = json_text(nlohmann::json(classes));
  write_weights(path, vit.config(), tensors_of(vit), extra);
}

std::vector<std::string> class_names(const Metadata& metadata, int classes, const std::filesystem::path& path) {
  const auto found = metadata.find("class_names");
  if (found == metadata.end()) return {};
  std::vector<std::string> names;
  try {
    names = parse_json(found->second).get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception&) {
    fail(ExitCode::data, "{}: metadata 'class_names' is no JSON list of strings", path.string());
  }
  if (names.size() > size_t(classes))
    fail(ExitCode::data, "{}: metadata 'class_names' has {} names, expected at most {}, the classes of the head",
         path.string(), names.size(), classes);
  return names;
}

Loaded load_vit(Device& device, const std::filesystem::path& path, const Stated& stated, bool any_values,
                const std::function<void(Weights&)>& change) {
  Weights weights = read_weights(path, stated, any_values);
  if (change) change(weights);
  Loaded loaded;
  loaded.vit = std::make_unique<ViT>(device, weights.config);
  for (const auto& [name, tensor] : weights.tensors) loaded.vit->parameters().set(name, tensor.data);
  loaded.preprocess.image_size = weights.config.image_size;
  if (auto crop = weights.metadata.find("crop"); crop != weights.metadata.end()) loaded.preprocess.crop = crop->second;
  check_preprocess(loaded.preprocess);
  loaded.classes = class_names(weights.metadata, weights.config.classes, path);
  loaded.metadata = std::move(weights.metadata);
  loaded.notes = std::move(weights.notes);
  return loaded;
}

void save_state(const std::filesystem::path& path, const ViT& vit, const Adam& adam, const TrainingState& state,
                const Metadata& identity, const MovingAverage* average) {
  const std::vector<float> values = flat_values(vit.parameters()), second = adam.second_moment();
  const std::vector<bf16> first = adam.first_moment();
  Metadata metadata = identity;
  metadata["state.step"] = std::to_string(state.step);
  metadata["state.updates"] = std::to_string(adam.count());
  metadata["state.evaluated"] = std::to_string(state.evaluated);
  metadata["state.best_accuracy"] = fmt::format("{}", state.best_accuracy);
  metadata["state.seconds"] = fmt::format("{}", state.seconds);
  if (!std::isnan(state.first_loss)) metadata["state.first_loss"] = fmt::format("{}", state.first_loss);
  metadata["state.window.loss"] = fmt::format("{}", state.window.loss);
  metadata["state.window.wait"] = fmt::format("{}", state.window.wait);
  metadata["state.window.seconds"] = fmt::format("{}", state.window.seconds);
  metadata["state.window.steps"] = std::to_string(state.window.steps);
  metadata["state.window.correct"] = std::to_string(state.window.correct);
  for (const auto& [name, bytes] : state.logs) metadata[std::string(log_key) + name] = std::to_string(bytes);
  std::vector<StoredTensor> tensors{stored("values", "F32", values), stored("first_moment", "BF16", first),
                                    stored("second_moment", "F32", second)};
  const std::vector<float> mean = average ? average->values() : std::vector<float>();
  if (average) {
    tensors.push_back(stored("average", "F32", mean));
    metadata["state.averaged"] = std::to_string(average->count());
  }
  write_safetensors(path, tensors, metadata);
}

TrainingState load_state(const std::filesystem::path& path, ViT& vit, Adam& adam, const Metadata& identity,
                         MovingAverage* average) {
  const SafeTensors file(path);
  check_identity(file, path, identity);
  const std::vector<float> values = file.floats("values"), second = file.floats("second_moment");
  const StoredTensor& first = file.at("first_moment");
  Parameters& parameters = vit.parameters();
  if (values.size() != parameters.size() || first.bytes.size() != parameters.size() * sizeof(bf16))
    fail(ExitCode::data, "{}: {} values, expected {}", path.string(), values.size(), parameters.size());
  for (const Parameter& p : parameters.list()) {
    stop_if_asked();                   // large ones take seconds
    parameters.set(p.name, {values.begin() + p.offset, values.begin() + p.offset + p.shape.size()});
  }
  std::vector<bf16> moment(parameters.size());
  std::memcpy(moment.data(), first.bytes.data(), first.bytes.size());
  // older programs averaged with the full decay from the first update on, as does one after very many
  const bool counted = file.metadata().contains("state.averaged");
  if (average)
    average->restore(file.floats("average"),
                     counted ? number<int64_t>(file.metadata(), "state.averaged", path, 0) : most_updates);
  adam.restore(number<int64_t>(file.metadata(), "state.updates", path, 0), moment, second);
  const Metadata& saved = file.metadata();
  TrainingState state{
      .step = number<int64_t>(saved, "state.step", path, 0),
      .evaluated = number<int64_t>(saved, "state.evaluated", path),
      .best_accuracy = number<double>(saved, "state.best_accuracy", path),
      .seconds = number<double>(saved, "state.seconds", path),
      .first_loss = saved.contains("state.first_loss") ? number<double>(saved, "state.first_loss", path) : NAN,
      .window = {},
      .logs = logs_of(saved, path)};
  state.window = window_of(saved, path, state.seconds);
  return state;
}

int64_t saved_step(const std::filesystem::path& path) {
  return number<int64_t>(SafeTensors(path).metadata(), "state.step", path, 0);
}

void check_identity(const std::filesystem::path& path, const Metadata& identity) {
  check_identity(SafeTensors(path), path, identity);
}

int64_t weights_step(const std::filesystem::path& path) try {
  return number<int64_t>(SafeTensors(path).metadata(), "step", path);
} catch (const Error&) {
  return -1;
}
