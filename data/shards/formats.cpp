// The formats of shards, each defined in a file beside this one.
#include <algorithm>

#include "data/shards/shard.h"

extern const ShardFormat cifar_format, folder_format, tar_format;

namespace {
// The first that recognises a path opens it.
constexpr const ShardFormat* formats[] = {&cifar_format, &folder_format, &tar_format};
}

const ShardFormat* format_of(const std::filesystem::path& path) {
  for (const ShardFormat* format : formats)
    if (format->recognises(path)) return format;
  return nullptr;
}

std::shared_ptr<const Shard> open_shard(const std::filesystem::path& path) {
  if (const ShardFormat* format = format_of(path)) return format->open(path);
  return (std::filesystem::is_directory(path) ? folder_format : tar_format).open(path);
}

bool is_plain_class_list(const std::filesystem::path& file) {
  const auto named = [&](const char* list) { return file.filename() == list; };
  return std::any_of(std::begin(formats), std::end(formats), [&](const ShardFormat* format) {
    return std::any_of(format->class_lists.begin(), format->class_lists.end(), named);
  });
}
