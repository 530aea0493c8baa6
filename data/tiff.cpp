#include "data/tiff.h"

#include <algorithm>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <tiffio.h>

#include "engine/error.h"

namespace {
// Bytes of one block, whatever a hostile header asks for.
tmsize_t largest_block(size_t file) {
  return tmsize_t(std::min(size_t(1) << 30, std::max(size_t(1) << 28, 250 * file)));
}

// The file in memory, with the first complaint of libtiff.
struct Memory {
  std::span<const uint8_t> bytes;
  uint64_t position = 0;
  std::string reason;
};

Memory& memory(thandle_t handle) { return *static_cast<Memory*>(handle); }

tmsize_t read(thandle_t handle, void* to, tmsize_t size) {
  Memory& file = memory(handle);
  const uint64_t left = file.bytes.size() - std::min<uint64_t>(file.position, file.bytes.size());
  const uint64_t count = std::min<uint64_t>(uint64_t(size), left);
  if (count) std::memcpy(to, &file.bytes[file.position], count);
  file.position += count;
  return tmsize_t(count);
}

tmsize_t refuse_write(thandle_t, void*, tmsize_t) { return -1; }

toff_t seek(thandle_t handle, toff_t offset, int whence) {
  Memory& file = memory(handle);
  const uint64_t from = whence == SEEK_CUR ? file.position : whence == SEEK_END ? file.bytes.size() : 0;
  return file.position = from + offset;
}

int close(thandle_t) { return 0; }
toff_t size(thandle_t handle) { return memory(handle).bytes.size(); }

int keep_reason(TIFF*, void* handle, const char*, const char* format, va_list arguments) {
  char text[200];
  std::vsnprintf(text, sizeof text, format, arguments);
  std::string& reason = memory(handle).reason;
  if (reason.empty()) reason = text;
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  return 1;
}

bool is_memory_left() {
  void* volatile probe = std::malloc(size_t(1) << 28);  // volatile: or there would be no call
  std::free(probe);
  return probe != nullptr;
}

// libtiff tells of it in words alone; more than largest_block, or nothing, is the file's fault, and, from version 4.7
// on, a tag that is longer than the file.
bool wants_memory(const std::string& reason) {
  const auto has = [&](const char* words) { return reason.find(words) != reason.npos; };
  if (has("Out of memory reading of")) return !is_memory_left();
  return (has("emory") || has("No space for")) && !has("beyond the") && !has("(0 elements");
}

[[noreturn]] void refuse(const std::string& reason, const char* advice) {
  if (wants_memory(reason)) fail(ExitCode::failed, "no memory left to decode a TIFF: {}", reason);
  fail(ExitCode::data, "damaged TIFF: {}; {}", reason, advice);
}

int ignore(TIFF*, void*, const char*, const char*, va_list) { return 1; }    // warnings: tags that it does not know
}

Image decode_tiff(std::span<const uint8_t> bytes) {
  Memory file{.bytes = bytes, .reason = ""};
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(TIFFOpenOptionsAlloc(),
                                                                                 TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_reason, &file);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), ignore, nullptr);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), largest_block(bytes.size()));
  const std::unique_ptr<TIFF, decltype(&TIFFClose)> tiff(
      TIFFClientOpenExt("TIFF", "rm", &file, read, refuse_write, seek, close, size, nullptr, nullptr, options.get()),
      TIFFClose);
  uint32_t width = 0, height = 0;
  if (!tiff || !TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) ||
      !TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height) || width == 0 || height == 0)
    refuse(file.reason.empty() ? "no size" : file.reason, "fetch it again");
  check_image_size("TIFF", width, height, bytes.size());

  std::vector<uint32_t> pixels(size_t(width) * height);
  constexpr int stop_on_error = 1;
  if (!TIFFReadRGBAImageOriented(tiff.get(), width, height, pixels.data(), ORIENTATION_TOPLEFT, stop_on_error) ||
      !file.reason.empty())
    refuse(file.reason, "fetch it again or convert it to PNG");
  Image image{int(height), int(width), std::vector<uint8_t>(3 * pixels.size())};
  for (size_t i = 0; i < pixels.size(); i++) {
    image.rgb[3 * i] = uint8_t(TIFFGetR(pixels[i]));
    image.rgb[3 * i + 1] = uint8_t(TIFFGetG(pixels[i]));
    image.rgb[3 * i + 2] = uint8_t(TIFFGetB(pixels[i]));
  }
  return image;
}
