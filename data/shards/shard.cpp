#include "data/shards/shard.h"

#include "engine/error.h"

void Shard::read_range(const File& file, uint64_t offset, uint64_t size, const Scan& scan, size_t sample,
                       std::vector<uint8_t>& bytes) const {
  bytes.resize(size);
  const size_t got = file.read(offset, bytes.data(), bytes.size());
  if (got < bytes.size())
    fail(ExitCode::data, "{}: got {} of {} bytes at offset {}: the shard changed since it was indexed; start again",
         where(scan, sample), got, bytes.size(), offset);
}

std::string FileShard::where(const Scan& scan, size_t sample) const try {
  return path().string() + ":" + name_of(scan, sample);
} catch (const Error&) {    // the shard changed below us; the place still helps
  return fmt::format("{}:(offset {})", path().string(), uint64_t(scan.samples[sample].offset));
}

void FileShard::read(const Scan& scan, size_t sample, std::vector<uint8_t>& bytes) const {
  read_range(file_, scan.samples[sample].offset, scan.samples[sample].size, scan, sample, bytes);
}
