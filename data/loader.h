// Batches of prepared images: read, decoded and augmented ahead of their use by worker threads.
// defines: Batch, OnBadImage, LoaderOptions, Loader
#pragma once
#include <array>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "data/index.h"
#include "data/transform.h"

struct Batch {
  int size = 0;
  std::vector<uint8_t> images;  // [size, image_size, image_size, 3]
  std::vector<Labels> labels;   // [size], of the index
  std::vector<uint64_t> samples;  // [size], their numbers in the index
};

// What happens at an image that cannot be decoded. Training may replace it by the next sample of the index, evaluation
// may skip it; both list it.
enum class OnBadImage { error, skip, replace };

struct LoaderOptions {
  int batch = 1;
  bool train = false;                       // endless, reshuffled each epoch, augmented; else once, in order
  Preprocess preprocess;
  uint64_t seed = 0;
  uint64_t start = 0;                       // samples that were given before, by a loader that this one continues
  uint64_t limit = 0;                       // evaluation: samples to give, 0: all
  int workers = 1;                          // threads; 0: next() does the work
  OnBadImage on_bad = OnBadImage::error;
};

// What it gives is a function of the index, the options without `workers`, and the samples given before: nothing else.
class Loader {
 public:
  Loader(const Index& index, const LoaderOptions& options);    // the index must outlive the loader
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Swaps the next batch into `batch`, whose memory is used again; false at the end of an evaluation.
  bool next(Batch& batch);

  double waited_seconds() const { return waited_seconds_; }    // spent in next() for images that were not ready
  // sample -> why it was replaced or left out in the batches given so far, each once however often it was met
  const std::map<uint64_t, std::string>& bad_samples() const { return bad_samples_; }

 private:
  struct Bad { uint64_t sample; std::string reason; };
  struct Slot {
    Batch batch;
    int done = 0;
    std::vector<char> omitted;    // [size]: skipped images leave a gap
    std::vector<Bad> bad;
    std::exception_ptr error;     // of the earliest sample that failed, so that the message repeats, too
    int error_at = 0;
  };

  void stop();
  void work();
  bool take(Batch& batch);
  void open_slot(uint64_t batch);
  void fill(uint64_t ordinal);
  std::optional<uint64_t> prepare(uint64_t position, uint8_t* image, std::vector<Bad>& bad) const;
  void close_gaps(Slot& slot) const;
  Slot& slot_of(uint64_t batch) { return ring_[batch % ring_.size()]; }
  uint64_t batch_size() const { return uint64_t(options_.batch); }

  const Index& index_;
  const LoaderOptions options_;
  const size_t stride_;       // bytes an image
  uint64_t end_;              // images there are to give, counted from options_.start, as all ordinals are

  std::mutex mutex_;          // guards what follows, except images and labels, which belong to who fills them
  std::condition_variable work_to_do_, batch_done_;
  std::array<Slot, 3> ring_;
  uint64_t claimed_ = 0;      // images that workers have begun
  uint64_t taken_ = 0;        // batches given
  bool stop_ = false;
  std::vector<std::thread> workers_;

  double waited_seconds_ = 0;
  std::map<uint64_t, std::string> bad_samples_;
};
