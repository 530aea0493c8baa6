#include "data/shard_writer.h"

#include <algorithm>

#include "data/paths.h"
#include "data/shards/tar.h"
#include "engine/error.h"
#include "engine/files.h"

namespace fs = std::filesystem;

namespace {
constexpr size_t max_shard_bytes = 256'000'000;

template <size_t N>
void set_text(char (&field)[N], std::string_view text) { text.copy(field, N); }

template <size_t N>
void set_octal(char (&field)[N], uint64_t value) { set_text(field, fmt::format("{:0{}o}", value, N - 1)); }
}

ShardWriter::ShardWriter(const fs::path& dir, const std::string& prefix, size_t samples_per_shard)
    : dir_(dir), prefix_(prefix), samples_per_shard_(samples_per_shard) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (!fs::is_directory(dir)) fail(ExitCode::failed, "cannot create the folder {}: {}", dir.string(), error.message());
  for (const auto& entry : fs::directory_iterator(dir))
    if (entry.path().extension() == ".tar" && entry.path().filename().string().starts_with(prefix + "-"))
      fail(ExitCode::usage, "{} exists; choose another folder or remove its shards", entry.path().string());
}

void ShardWriter::add(const std::string& key, Members members) {
  std::sort(members.begin(), members.end());
  for (const auto& [extension, bytes] : members) {
    const std::string name = key + "." + extension;
    std::string_view found_key, found_extension;
    if (!split_member_name(name, found_key, found_extension) || found_key != key)
      fail(ExitCode::data, "'{}' cannot be the key of a sample: a dot in its last component", key);
    append_member(name, bytes);
  }
  samples_++;
  if (samples_ == samples_per_shard_ || tar_.size() > max_shard_bytes) close();
}

void ShardWriter::append_member(const std::string& name, const std::string& bytes) {
  TarHeader header{};
  std::string_view base = name;
  if (base.size() > sizeof header.name) {    // ustar: the part before some slash goes into a second field
    const size_t cut = std::min(name.rfind('/', sizeof header.prefix), name.size());
    set_text(header.prefix, base.substr(0, cut));
    base.remove_prefix(std::min(cut + 1, base.size()));
    if (cut == 0 || base.empty() || base.size() > sizeof header.name)
      fail(ExitCode::data, "'{}' is too long for the name of a tar member", name);
  }
  set_text(header.name, base);
  set_octal(header.mode, 0444);
  set_octal(header.uid, 0);
  set_octal(header.gid, 0);
  set_octal(header.size, bytes.size());
  set_octal(header.mtime, 0);
  header.type = '0';
  set_text(header.magic, "ustar");
  set_text(header.version, "00");
  set_octal(header.checksum, tar_checksum(header));
  tar_.append(reinterpret_cast<const char*>(&header), sizeof header);
  tar_ += bytes;
  tar_.resize((tar_.size() + tar_block - 1) / tar_block * tar_block);
}

void ShardWriter::close() {
  if (samples_ == 0) return;
  tar_.resize(tar_.size() + 2 * tar_block);
  write_atomically(dir_ / fmt::format("{}-{:04}.tar", prefix_, shard_++), [&](Writer& writer) { writer.write(tar_); },
                   tar_.size());
  tar_.clear();
  samples_ = 0;
}

Unfinished::Unfinished(const fs::path& dir) : dir_(dir) {
  write_atomically(dir_ / unfinished_file, [](Writer& writer) {
    writer.write(
        "build/pack is at work here, or was stopped before it wrote all shards: remove them and pack again.\n");
  });
}

void Unfinished::finish() {
  if (std::error_code error; !fs::remove(dir_ / unfinished_file, error))
    fail(ExitCode::failed, "all shards are written, but {} cannot be removed: {}; remove it",
         (dir_ / unfinished_file).string(), error.message());
}
