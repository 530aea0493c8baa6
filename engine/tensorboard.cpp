#include "engine/tensorboard.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include "engine/error.h"

namespace {
// CRC-32C (Castagnoli), which zlib does not have; bit by bit, for records are short.
uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= uint8_t(byte);
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
  }
  return ~crc;
}

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// TFRecord masks its checksums, so that one over bytes that hold checksums stays good.
std::string masked_crc(std::string_view bytes) { return little_endian(std::rotr(crc32c(bytes), 15) + 0xa282ead8u); }

// Protocol buffers: a field is its number and wire type, then a varint, 8 bytes, length and bytes, or 4 bytes.
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 128; value >>= 7) bytes += char(value | 128);
  return bytes += char(value);
}
std::string key(int number, int wire_type) { return varint(uint64_t(number << 3 | wire_type)); }
std::string field(int number, double value) { return key(number, 1) + little_endian(value); }
std::string field(int number, float value) { return key(number, 5) + little_endian(value); }
std::string field(int number, int64_t value) { return key(number, 0) + varint(uint64_t(value)); }
std::string field(int number, std::string_view bytes) {
  return key(number, 2) + varint(bytes.size()) + std::string(bytes);
}

constexpr std::string_view prefix = "events.out.tfevents.";

// The seconds in the name of a new file: now, but after those of every file that is there, for names are the order of
// files.
int64_t time_for_name(const std::filesystem::path& folder, double now) {
  int64_t time = int64_t(now);
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (const std::string name = entry->path().filename().string(); name.starts_with(prefix))
      time = std::max<int64_t>(time, std::atoll(name.c_str() + prefix.size()) + 1);
  return time;
}
}  // namespace

EventFile::EventFile(const std::filesystem::path& folder, std::optional<int64_t> first_step) {
  static std::atomic<int> files = 0;
  std::error_code error;
  std::filesystem::create_directories(folder, error);    // where this fails, so does open, with the reason
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  path_ = folder /
          fmt::format("{}{:010}.{}.{}.{}{}", prefix, time_for_name(folder, now), host, ::getpid(), files++, suffix);
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) fail(ExitCode::failed, "cannot write {}: {}", path_.string(), std::strerror(errno));
  append(field(1, now) + field(3, "brain.Event:2"));
  constexpr int64_t start = 1;    // of SessionLog's states
  if (first_step) append(field(1, now) + field(2, *first_step) + field(7, field(1, start)));
}

EventFile::~EventFile() { ::close(file_); }

void EventFile::scalar(std::string_view tag, double value, int64_t step, double wall_time) {
  const std::string summary = field(1, field(1, tag) + field(2, float(value)));
  append(field(1, wall_time) + field(2, step) + field(5, summary));
}

// A HistogramProto: limits are right edges, and a bucket reaches down to the limit before it, so one of 0 fills each
// gap.
void EventFile::histogram(std::string_view tag, const Histogram& counted, double min, double max, double sum,
                          double squares, int64_t step, double wall_time) {
  std::string limits, counts;
  const auto bucket = [&](double limit, double count) {
    limits += little_endian(limit), counts += little_endian(count);
  };
  for (int b = 0; b < Histogram::bins; b++) {
    if (counted.counts[b] == 0) continue;
    if (b > 0 && counted.counts[b - 1] == 0) bucket(Histogram::edge(b), 0);
    bucket(Histogram::edge(b + 1), double(counted.counts[b]));
  }
  const std::string histogram = field(1, min) + field(2, max) + field(3, double(counted.total())) + field(4, sum) +
                                field(5, squares) + field(6, limits) + field(7, counts);
  append(field(1, wall_time) + field(2, step) + field(5, field(1, field(1, tag) + field(5, histogram))));
}

// One record in one write: a run that is killed leaves whole records.
void EventFile::append(std::string_view event) {
  const std::string length = little_endian(uint64_t(event.size()));
  const std::string record = length + masked_crc(length) + std::string(event) + masked_crc(event);
  if (const ssize_t written = ::write(file_, record.data(), record.size()); written != ssize_t(record.size()))
    fail(ExitCode::failed, "cannot write {}: {}", path_.string(),
         written < 0 ? std::strerror(errno) : "the disk is full");
}
