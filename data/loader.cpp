#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "data/order.h"
#include "engine/error.h"

namespace {
constexpr uint64_t most_replacements = 100;    // so many bad images in a row are no accident

uint64_t images_to_give(const Index& index, const LoaderOptions& options) {
  if (options.train) return UINT64_MAX;
  const uint64_t all = options.limit ? std::min<uint64_t>(options.limit, index.size()) : index.size();
  return all - std::min(all, options.start);
}
}  // namespace

Loader::Loader(const Index& index, const LoaderOptions& options)
    : index_(index),
      options_(options),
      stride_(size_t(options.preprocess.image_size) * size_t(options.preprocess.image_size) * 3),
      end_(images_to_give(index, options)) {
  check_preprocess(options.preprocess);
  if (options.batch < 1) fail(ExitCode::usage, "batch: expected at least 1, got {}", options.batch);
  if (options.workers < 0 || options.workers > 1024)
    fail(ExitCode::usage, "workers: expected 0 to 1024, got {}", options.workers);
  if (options.on_bad == (options.train ? OnBadImage::skip : OnBadImage::replace))
    fail(ExitCode::usage, "bad images: training replaces them or stops, evaluation skips them or stops");
  if (index.size() == 0) fail(ExitCode::data, "no images to load: the index is empty; check the data source");
  for (uint64_t batch = 0; batch < ring_.size(); batch++) open_slot(batch);
  try {
    for (int i = 0; i < options.workers; i++) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    const size_t started = workers_.size();
    stop();
    fail(ExitCode::failed, "--workers {}: only {} threads could be started ({}); give fewer", options.workers, started,
         error.code().message());
  }
}

Loader::~Loader() { stop(); }

void Loader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_to_do_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool Loader::next(Batch& batch) {
  do
    if (!take(batch)) return false;
  while (batch.size == 0);    // every image of it was skipped
  return true;
}

bool Loader::take(Batch& batch) {
  std::unique_lock lock(mutex_);
  Slot& slot = slot_of(taken_);
  const auto begin = std::chrono::steady_clock::now();
  if (workers_.empty())
    while (slot.done < slot.batch.size) {
      lock.unlock();
      fill(claimed_++);
      lock.lock();
    }
  batch_done_.wait(lock, [&] { return slot.done == slot.batch.size; });
  waited_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  if (slot.error) std::rethrow_exception(slot.error);
  if (slot.batch.size == 0) return false;
  for (Bad& bad : slot.bad) bad_samples_.try_emplace(bad.sample, std::move(bad.reason));
  close_gaps(slot);
  std::swap(batch, slot.batch);
  taken_++;
  open_slot(taken_ + ring_.size() - 1);
  lock.unlock();
  work_to_do_.notify_all();
  return true;
}

void Loader::open_slot(uint64_t batch) {
  Slot& slot = slot_of(batch);
  const uint64_t begin = batch * batch_size();
  const uint64_t size = begin < end_ ? std::min(end_ - begin, batch_size()) : 0;
  slot.batch.size = int(size);
  slot.batch.images.resize(size * stride_);
  slot.batch.labels.resize(size);
  slot.batch.samples.resize(size);
  slot.omitted.assign(size, false);
  slot.bad.clear();
  slot.done = 0;
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_to_do_.wait(lock, [&] { return stop_ || claimed_ < std::min(end_, (taken_ + ring_.size()) * batch_size()); });
    if (stop_) return;
    const uint64_t ordinal = claimed_++;
    lock.unlock();
    fill(ordinal);
    lock.lock();
  }
}

void Loader::fill(uint64_t ordinal) {
  Slot& slot = slot_of(ordinal / batch_size());
  const size_t at = ordinal % batch_size();
  std::vector<Bad> bad;
  std::exception_ptr error;
  std::optional<uint64_t> given;
  try {
    given = prepare(options_.start + ordinal, &slot.batch.images[at * stride_], bad);
    if (given) slot.batch.samples[at] = *given, slot.batch.labels[at] = index_.labels(*given);
  } catch (...) {
    error = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  slot.omitted[at] = !given;
  std::move(bad.begin(), bad.end(), std::back_inserter(slot.bad));
  if (error && (!slot.error || int(at) < slot.error_at)) slot.error = error, slot.error_at = int(at);
  if (++slot.done == slot.batch.size) batch_done_.notify_one();
}

// The number of the sample that is given; nothing where it is left out.
std::optional<uint64_t> Loader::prepare(uint64_t position, uint8_t* image, std::vector<Bad>& bad) const {
  const uint64_t n = index_.size();
  const auto [epoch, drawn] = options_.train ? Order{n, options_.seed}(position) : Order::Place{0, position};
  std::vector<uint8_t> bytes;
  for (uint64_t tries = 0; tries < std::min(n, most_replacements); tries++) {
    const uint64_t sample = (drawn + tries) % n;
    try {
      const Image decoded = index_.image(sample, bytes);
      Random random(options_.seed, purpose::augmentation, epoch * n + drawn);
      if (options_.train) prepare_train(decoded, options_.preprocess, random, image);
      else prepare_eval(decoded, options_.preprocess, image);
      return sample;
    } catch (const Error& error) {
      if (error.code != ExitCode::data || options_.on_bad == OnBadImage::error) throw;
      bad.push_back({sample, error.what()});
      if (options_.on_bad == OnBadImage::skip) return {};
    }
  }
  fail(ExitCode::data, "{} images in a row cannot be decoded, the last one: {}", bad.size(), bad.back().reason);
}

void Loader::close_gaps(Slot& slot) const {
  Batch& batch = slot.batch;
  size_t kept = 0;
  for (size_t at = 0; at < slot.omitted.size(); at++) {
    if (slot.omitted[at]) continue;
    if (kept != at) {
      std::copy_n(&batch.images[at * stride_], stride_, &batch.images[kept * stride_]);
      batch.labels[kept] = batch.labels[at];
      batch.samples[kept] = batch.samples[at];
    }
    kept++;
  }
  batch.size = int(kept);
  batch.images.resize(kept * stride_);
  batch.labels.resize(kept);
  batch.samples.resize(kept);
}
