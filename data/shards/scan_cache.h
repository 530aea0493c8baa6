// Scans kept on disk, one file a shard, so that the second run starts at once. Safe to delete at any time.
// defines: default_cache_dir, read_cached_scan, write_cached_scan
#pragma once
#include <filesystem>
#include <optional>

#include "data/shards/file.h"
#include "data/shards/scan.h"

// $XDG_CACHE_HOME/relucent, else $HOME/.cache/relucent, else empty: no cache
std::filesystem::path default_cache_dir();

// The scan of this shard as it is now (path, size and File::State); nothing if absent, stale, damaged, or of labels
// or bytes that cannot be. What else its format asks of a scan is for Shard::could_have to say.
std::optional<Scan> read_cached_scan(const std::filesystem::path& cache_dir, const File& shard);

// False where the folder cannot be written.
bool write_cached_scan(const std::filesystem::path& cache_dir, const File& shard, const Scan& scan);
