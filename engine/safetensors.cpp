#include "engine/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <tuple>
#include <zlib.h>

#include "engine/error.h"
#include "engine/json.h"

namespace {
using Json = nlohmann::json;
constexpr uint64_t max_header = 100'000'000;    // the limit of the reference implementation

std::string crc_text(uint32_t crc) { return fmt::format("{:08x}", crc); }

uint32_t crc_of(std::span<const std::byte> bytes, uint32_t crc = 0) {
  if (bytes.empty()) return crc;    // zlib starts again from 0 at a null pointer
  return uint32_t(crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// JSON as shown in a message: escaped, so on one line, and not longer than a line.
std::string shown(const Json& json) {
  const std::string text = ascii_json(json);
  return text.size() <= 100 ? text : text.substr(0, 100) + "...";
}

// The header as JSON. A name given twice would silently hide a tensor: it is refused.
Json parse_header(std::string_view text, const std::string& file) {
  std::vector<std::set<std::string>> open_objects;
  const auto refuse_duplicates = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > deepest_json) fail(ExitCode::data, "{}: the header is nested {} deep", file, depth);
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key && !open_objects.back().insert(parsed.get<std::string>()).second)
      fail(ExitCode::data, "{}: the header has {} twice", file, shown(parsed));
    return true;
  };
  try {
    Json header = Json::parse(text, refuse_duplicates);
    if (!header.is_object())
      fail(ExitCode::data, "{}: expected a JSON object as header, got {}", file, header.type_name());
    return header;
  } catch (const Json::exception& error) {
    fail(ExitCode::data, "{}: the header is not JSON: {}", file, shown(error.what()));
  }
}

std::map<std::string, std::string> parse_metadata(const Json& entries, const std::string& file) {
  if (!entries.is_object()) fail(ExitCode::data, "{}: expected __metadata__ to be an object of strings", file);
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : entries.items()) {
    if (!value.is_string())
      fail(ExitCode::data, "{}: metadata {}: expected a string, got {}", file, shown(key), shown(value));
    metadata[key] = value;
  }
  return metadata;
}

// The header as it stands in a file that write_safetensors made.
std::string text_of(const Json& header) {
  std::string text = json_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

// One entry of the header; `begin` and `end` are relative to the data section.
struct Entry {
  StoredTensor tensor;
  uint64_t begin, end;
};

Entry parse_entry(const std::string& name, const Json& json, const std::string& where) {
  const auto unsigned_list = [](const Json& list) {
    return list.is_array() && std::all_of(list.begin(), list.end(), [](const Json& x) {
      return x.is_number_unsigned() && x.get<uint64_t>() <= uint64_t(INT64_MAX);
    });
  };
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") || !json.contains("data_offsets"))
    fail(ExitCode::data, "{}: expected dtype, shape and data_offsets, got {}", where, shown(json));
  const Json &dtype = json["dtype"], &shape = json["shape"], &offsets = json["data_offsets"];
  if (!dtype.is_string() || dtype_bits(dtype.get<std::string>()) == 0)
    fail(ExitCode::data, "{}: unknown dtype {}", where, shown(dtype));
  if (!unsigned_list(shape)) fail(ExitCode::data, "{}: shape {} is not a list of lengths", where, shown(shape));
  if (!unsigned_list(offsets) || offsets.size() != 2)
    fail(ExitCode::data, "{}: data_offsets {} are not two byte positions", where, shown(offsets));

  const Entry entry{{name, dtype, shape, {}}, offsets[0], offsets[1]};
  const auto expected = byte_count(entry.tensor.dtype, entry.tensor.shape);
  if (!expected)
    fail(ExitCode::data, "{}: {} of shape {} has no whole number of bytes", where, shown(dtype), shown(shape));
  if (entry.end < entry.begin || entry.end - entry.begin != *expected)
    fail(ExitCode::data, "{}: expected {} bytes ({} of shape {}), data_offsets are {}", where, *expected,
         entry.tensor.dtype, shown(shape), shown(offsets));
  return entry;
}
}  // namespace

SafeTensors::SafeTensors(const std::filesystem::path& path) : path_(path), file_(path) {
  const std::string file = path.string();
  const std::span<const std::byte> bytes = file_.bytes();
  uint64_t header_size;
  if (bytes.size() < sizeof header_size)
    fail(ExitCode::data, "{}: {} bytes are too few for a safetensors file; copy it again", file, bytes.size());
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  if (header_size > max_header || header_size > bytes.size() - sizeof header_size)
    fail(ExitCode::data, "{}: not a safetensors file, or cut short: header of {} bytes in a file of {}", file,
         header_size, bytes.size());
  const std::span<const std::byte> text = bytes.subspan(sizeof header_size, header_size);
  const std::span<const std::byte> data = bytes.subspan(sizeof header_size + header_size);

  std::vector<Entry> entries;
  const Json header = parse_header({reinterpret_cast<const char*>(text.data()), text.size()}, file);
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") metadata_ = parse_metadata(json, file);
    else entries.push_back(parse_entry(name, json, where(name)));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t position = 0;
  for (Entry& entry : entries) {
    if (entry.begin != position)
      fail(ExitCode::data, "{}: expected its data at byte {}, got {}: tensors {}", where(entry.tensor.name), position,
           entry.begin, entry.begin < position ? "overlap" : "leave a hole");
    if (entry.end > data.size())
      fail(ExitCode::data, "{}: data ends at byte {}, the file has {}: cut short, copy it again",
           where(entry.tensor.name), entry.end, data.size());
    entry.tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    position = entry.end;
    tensors_.emplace(entry.tensor.name, std::move(entry.tensor));
  }
  if (position != data.size())
    fail(ExitCode::data, "{}: expected {} bytes of tensors, got {}", file, position, data.size());
  const std::string_view header_text(reinterpret_cast<const char*>(text.data()), text.size());
  const bool written_here = header_text == text_of(header);
  if (const auto expected = metadata_.find("crc32"); written_here && expected != metadata_.end())
    if (const std::string got = crc_text(crc_of(data)); got != expected->second)
      fail(ExitCode::data, "{}: damaged: expected checksum {}, got {}; copy it again", file, expected->second, got);
}

std::string SafeTensors::where(const std::string& name) const {
  return fmt::format("{}: tensor {}", path_.string(), shown(name));
}

const StoredTensor& SafeTensors::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail(ExitCode::data, "{} is missing", where(name));
  return found->second;
}

std::vector<float> SafeTensors::floats(const std::string& name) const {
  return to_floats(at(name).dtype, at(name).bytes, where(name));
}

std::vector<int64_t> SafeTensors::ints(const std::string& name) const {
  return to_ints(at(name).dtype, at(name).bytes, where(name));
}

bool of_every_file(const std::string& key) { return key == "format" || key == "crc32"; }

void write_safetensors(const std::filesystem::path& path, std::vector<StoredTensor> tensors,
                       std::map<std::string, std::string> metadata) {
  // Widest elements first keeps every tensor aligned to its element.
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::make_tuple(-dtype_bits(a.dtype), a.name) < std::make_tuple(-dtype_bits(b.dtype), b.name);
  });
  Json header = Json::object();
  uint64_t size = 0;
  uint32_t crc = 0;
  for (const StoredTensor& tensor : tensors) {
    if (byte_count(tensor.dtype, tensor.shape) != tensor.bytes.size())
      fail(ExitCode::failed, "{}: cannot write {} bytes as tensor {} of {} {}", path.string(), tensor.bytes.size(),
           tensor.name, tensor.dtype, shape_text(tensor.shape));
    if (header.contains(tensor.name)) fail(ExitCode::failed, "{}: tensor {} given twice", path.string(), tensor.name);
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {size, size + tensor.bytes.size()}}};
    size += tensor.bytes.size();
    crc = crc_of(tensor.bytes, crc);
  }
  metadata["format"] = "pt";
  metadata["crc32"] = crc_text(crc);
  header["__metadata__"] = metadata;

  const std::string text = text_of(header);
  const uint64_t header_size = text.size();
  write_atomically(path, [&](Writer& file) {
    file.write(std::as_bytes(std::span(&header_size, 1)));
    file.write(text);
    for (const StoredTensor& tensor : tensors) file.write(tensor.bytes);
  }, sizeof header_size + header_size + size);
}
