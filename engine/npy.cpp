#include "engine/npy.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <set>

#include "engine/error.h"
#include "engine/json.h"

namespace {
using Json = nlohmann::json;
using Bytes = std::vector<std::byte>;
constexpr std::string_view magic = "\x93NUMPY";
constexpr size_t max_header = 1 << 20;

// NumPy's name of an element type and ours; types of one byte have no byte order.
const std::vector<std::pair<std::string, std::string>> descriptions = {
    {"<f4", "F32"}, {"<f8", "F64"}, {"<f2", "F16"}, {"|V2", "BF16"}, {"<V2", "BF16"}, {"<i8", "I64"}, {"<i4", "I32"},
    {"<i2", "I16"}, {"|i1", "I8"},  {"<u8", "U64"}, {"<u4", "U32"},  {"<u2", "U16"},  {"|u1", "U8"},  {"|b1", "BOOL"}};

// Hands out the bytes of one .npy file one after the other; fewer than asked for only at its end.
using Source = std::function<size_t(std::span<std::byte>)>;

void read_exactly(const Source& source, std::span<std::byte> out, const std::string& where) {
  if (const size_t got = source(out); got != out.size())
    fail(ExitCode::data, "{}: cut short: expected {} more bytes, got {}", where, out.size(), got);
}

// Memory is taken as bytes come, not as they are promised.
void read_growing(const Source& source, Bytes& data, size_t size, const std::string& where) {
  constexpr size_t piece = size_t(1) << 24;
  data.reserve(std::min(size, piece));
  while (data.size() < size) {
    const size_t begin = data.size(), more = std::min(size - begin, std::max(piece, begin));
    data.resize(begin + more);
    read_exactly(source, std::span(data).subspan(begin), where);
  }
}

struct Header {
  std::string dtype;
  std::vector<int64_t> shape;
  bool fortran_order;
};

// The header is a Python dict literal: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }. From what NumPy
// writes JSON differs only in quotes, tuples, the case of True and the comma before a closing bracket.
Header parse_header(std::string_view text, const std::string& where) {
  std::string json;
  for (char c : text) {
    if (c == ' ') continue;
    if ((c == ')' || c == ']' || c == '}') && json.ends_with(',')) json.pop_back();
    json += c == '\'' ? '"' : c == '(' ? '[' : c == ')' ? ']' : c == 'T' ? 't' : c == 'F' ? 'f' : c;
  }
  const Json header = parse_json(json);
  const auto is_length = [](const Json& x) {
    return x.is_number_unsigned() && x.get<uint64_t>() <= uint64_t(INT64_MAX);
  };
  if (!header.is_object() || header.size() != 3 || !header.contains("descr") || !header.contains("shape") ||
      !header["shape"].is_array() || !std::all_of(header["shape"].begin(), header["shape"].end(), is_length) ||
      !header.contains("fortran_order") || !header["fortran_order"].is_boolean())
    fail(ExitCode::data, "{}: not a .npy header as NumPy writes it; save the array again", where);
  for (const auto& [description, dtype] : descriptions)
    if (header["descr"] == description) return {dtype, header["shape"], header["fortran_order"]};
  fail(ExitCode::data, "{}: elements {} are not read; expected little-endian floats or integers: array.astype('<f4')",
       where, ascii_json(header["descr"]).substr(0, 80));
}

// Fortran order counts the first axis fastest, row-major order the last.
Bytes to_row_major(const Bytes& data, const std::vector<int64_t>& shape, size_t width) {
  Bytes out(data.size());
  std::vector<int64_t> index(shape.size());
  for (size_t to = 0; to < out.size(); to += width) {
    int64_t from = 0;
    for (size_t axis = shape.size(); axis-- > 0;) from = from * shape[axis] + index[axis];
    std::memcpy(&out[to], &data[size_t(from) * width], width);
    for (size_t axis = shape.size(); axis-- > 0 && ++index[axis] == shape[axis];) index[axis] = 0;
  }
  return out;
}

// `limit`: bytes of elements that the file can hold at most.
Array read_array(const Source& source, const std::string& where, uint64_t limit) {
  std::array<std::byte, 8> start;
  read_exactly(source, start, where);
  const int version = int(start[6]);
  if (std::memcmp(start.data(), magic.data(), magic.size()) != 0 || version < 1 || version > 3)
    fail(ExitCode::data, "{}: not a .npy array of version 1 to 3", where);
  uint32_t header_size = 0;
  read_exactly(source, std::as_writable_bytes(std::span(&header_size, 1)).first(version == 1 ? 2 : 4), where);
  if (header_size > max_header)
    fail(ExitCode::data, "{}: a header of {} bytes, expected at most {}", where, header_size, max_header);
  std::string text(header_size, ' ');
  read_exactly(source, std::as_writable_bytes(std::span(text)), where);

  const Header header = parse_header(text, where);
  const auto size = byte_count(header.dtype, header.shape);
  if (!size || *size > limit)
    fail(ExitCode::data, "{}: {} of shape {} is more than the file can hold", where, header.dtype,
         shape_text(header.shape));
  Array array{header.shape, header.dtype, {}, where};
  read_growing(source, array.data, *size, where);
  if (std::byte more; source(std::span(&more, 1)) != 0)
    fail(ExitCode::data, "{}: expected {} bytes for {} of shape {}, got more", where, *size, array.dtype,
         shape_text(array.shape));
  if (header.fortran_order) array.data = to_row_major(array.data, array.shape, size_t(dtype_bits(array.dtype)) / 8);
  return array;
}

// What precedes the elements, padded so that they start at a multiple of 64 bytes.
std::string npy_start(const std::string& dtype, const std::vector<int64_t>& shape, size_t bytes,
                      const std::string& where) {
  const auto known = std::find_if(descriptions.begin(), descriptions.end(), [&](auto& d) { return d.second == dtype; });
  if (known == descriptions.end() || byte_count(dtype, shape) != bytes)
    fail(ExitCode::failed, "{}: cannot write {} bytes as {} of shape {}", where, bytes, dtype, shape_text(shape));
  std::string lengths;
  for (const int64_t length : shape) lengths += fmt::format("{}, ", length);
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", known->first, lengths);
  const size_t before = magic.size() + 4;
  text.resize((before + text.size() + 1 + 63) / 64 * 64 - before, ' ');
  text.back() = '\n';
  return fmt::format("{}\x01{}{}{}{}", magic, '\0', char(text.size() & 255), char(text.size() >> 8), text);
}

void write_array(const std::filesystem::path& path, const std::string& dtype, const std::vector<int64_t>& shape,
                 std::span<const std::byte> bytes) {
  const std::string start = npy_start(dtype, shape, bytes.size(), path.string());
  write_atomically(path, [&](Writer& file) {
    file.write(start);
    file.write(bytes);
  }, start.size() + bytes.size());
}

// libarchive does not always have one.
const char* reason(archive* zip) {
  const char* const text = archive_error_string(zip);
  return text ? text : "no reason given";
}

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;

// Calls visit(archive, name without .npy) for each member. libarchive's seekable reader takes names and sizes
// from the central directory: NumPy leaves 0xFFFFFFFF in the local headers.
void each_member(const std::filesystem::path& path, const std::function<void(archive*, const std::string&)>& visit) {
  const MappedFile file(path);
  const Reader zip(archive_read_new(), archive_read_free);
  archive_read_support_format_zip_seekable(zip.get());
  const auto check = [&](int status) {
    if (status < ARCHIVE_WARN && archive_errno(zip.get()) == ENOMEM) throw std::bad_alloc();
    if (status < ARCHIVE_WARN)
      fail(ExitCode::data, "{}: damaged archive: {}", path.string(), reason(zip.get()));
    return status;
  };
  check(archive_read_open_memory(zip.get(), file.bytes().data(), file.bytes().size()));
  std::set<std::string> seen;
  for (archive_entry* entry; check(archive_read_next_header(zip.get(), &entry)) != ARCHIVE_EOF;) {
    const char* const name = archive_entry_pathname(entry);
    const std::string_view member = name ? name : "";
    if (!member.ends_with(".npy"))
      fail(ExitCode::data, "{}: member '{}' is not an array (.npy); is this an .npz file?", path.string(), member);
    if (!seen.emplace(member).second) fail(ExitCode::data, "{}: member {} is there twice", path.string(), member);
    visit(zip.get(), std::string(member.substr(0, member.size() - 4)));
  }
}
}  // namespace

Array read_npy(const std::filesystem::path& path) {
  const MappedFile file(path);
  std::span<const std::byte> rest = file.bytes();
  const Source source = [&](std::span<std::byte> out) {
    const size_t size = std::min(out.size(), rest.size());
    std::copy_n(rest.begin(), size, out.begin());
    rest = rest.subspan(size);
    return size;
  };
  return read_array(source, path.string(), rest.size());
}

void write_npy(const std::filesystem::path& path, const std::vector<int64_t>& shape, std::span<const float> values) {
  write_array(path, "F32", shape, std::as_bytes(values));
}

void write_npy(const std::filesystem::path& path, const std::vector<int64_t>& shape, std::span<const int64_t> values) {
  write_array(path, "I64", shape, std::as_bytes(values));
}

std::vector<std::string> npz_names(const std::filesystem::path& path) {
  std::vector<std::string> names;
  each_member(path, [&](archive*, const std::string& name) { names.push_back(name); });
  return names;
}

std::map<std::string, Array> read_npz(const std::filesystem::path& path, const std::string& prefix) {
  constexpr uint64_t deflate_ratio = 1032;    // one compressed byte cannot stand for more
  const uint64_t size = std::filesystem::file_size(path);
  uint64_t left = std::min(most_unpacked(size), size * deflate_ratio);    // for all arrays together
  std::map<std::string, Array> arrays;
  each_member(path, [&](archive* zip, const std::string& name) {
    if (!name.starts_with(prefix)) return;
    const std::string where = fmt::format("{}, member {}", path.string(), name);
    const Source source = [&](std::span<std::byte> out) {
      size_t size = 0;
      while (size < out.size()) {
        const la_ssize_t got = archive_read_data(zip, out.data() + size, out.size() - size);
        if (got < 0) fail(ExitCode::data, "{}: damaged: {}; copy the file again", where, reason(zip));
        if (got == 0) break;
        size += size_t(got);
      }
      return size;
    };
    Array array = read_array(source, where, left);
    left -= array.data.size();
    arrays.emplace(name.substr(prefix.size()), std::move(array));
  });
  return arrays;
}

void write_npz(const std::filesystem::path& path, const std::map<std::string, Array>& arrays) {
  write_atomically(path, [&](Writer& file) {
    struct Sink {
      Writer& file;
      std::exception_ptr error;    // an exception must not cross the C library on its way up
    } sink{file, nullptr};
    const std::unique_ptr<archive, decltype(&archive_write_free)> zip(archive_write_new(), archive_write_free);
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), archive_entry_free);
    const auto check = [&](la_ssize_t status) {
      if (sink.error) std::rethrow_exception(sink.error);
      if (status < 0) fail(ExitCode::failed, "cannot write {}: {}", path.string(), reason(zip.get()));
    };
    archive_write_set_format_zip(zip.get());
    archive_write_zip_set_compression_store(zip.get());    // trained weights hardly shrink
    archive_write_set_bytes_in_last_block(zip.get(), 1);
    check(archive_write_open(zip.get(), &sink, nullptr, [](archive*, void* data, const void* bytes, size_t size) {
      Sink& sink = *static_cast<Sink*>(data);
      try {
        sink.file.write({static_cast<const std::byte*>(bytes), size});
        return la_ssize_t(size);
      } catch (...) {
        sink.error = std::current_exception();
        return la_ssize_t(-1);
      }
    }, nullptr));
    for (const auto& [name, array] : arrays) {
      const std::string where = fmt::format("{}, member {}", path.string(), name);
      const std::string start = npy_start(array.dtype, array.shape, array.data.size(), where);
      archive_entry_clear(entry.get());
      archive_entry_set_pathname(entry.get(), (name + ".npy").c_str());
      archive_entry_set_filetype(entry.get(), AE_IFREG);
      archive_entry_set_perm(entry.get(), 0644);
      archive_entry_set_size(entry.get(), la_int64_t(start.size() + array.data.size()));
      check(archive_write_header(zip.get(), entry.get()));
      check(archive_write_data(zip.get(), start.data(), start.size()));
      check(archive_write_data(zip.get(), array.data.data(), array.data.size()));
    }
    check(archive_write_close(zip.get()));
  });
}
