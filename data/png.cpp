#include "data/png.h"

#include <new>
#include <string>
#include <zlib.h>

#include "engine/error.h"

namespace {
using Bytes = std::span<const uint8_t>;

uint32_t number(Bytes bytes) {
  return uint32_t(bytes[0]) << 24 | uint32_t(bytes[1]) << 16 | uint32_t(bytes[2]) << 8 | bytes[3];
}

// Bytes of pixels before compression, at most: a filter byte a row, and of interlaced images twice as many rows.
uint64_t most_pixel_bytes(Bytes header) {
  constexpr int channels[] = {1, 0, 3, 1, 2, 0, 4};    // by type of colour
  const uint64_t width = number(header), height = number(header.subspan(4));
  const uint64_t bits = header[8] * uint64_t(header[9] < 7 ? channels[header[9]] : 0);
  const uint64_t row = (width * bits + 7) / 8 + 1;
  return row * height * (header[12] ? 2 : 1) + (header[12] ? 64 : 0);
}

// Inflates the image data piece by piece and keeps nothing: zlib holds them against their Adler-32.
class PixelCheck {
 public:
  PixelCheck() {
    if (inflateInit(&stream_) != Z_OK) throw std::bad_alloc();
  }
  ~PixelCheck() { inflateEnd(&stream_); }
  PixelCheck(const PixelCheck&) = delete;

  void add(Bytes data, uint64_t most) {
    stream_.next_in = const_cast<uint8_t*>(data.data());
    stream_.avail_in = uint32_t(data.size());
    while (status_ == Z_OK && (stream_.avail_in || !stream_.avail_out)) {
      stream_.next_out = out_;
      stream_.avail_out = sizeof out_;
      status_ = inflate(&stream_, Z_NO_FLUSH);
      if (status_ == Z_BUF_ERROR) status_ = Z_OK;    // all is read: more may come in the next chunk
      if (stream_.total_out > most)
        fail(ExitCode::data, "damaged PNG: more than the {} bytes of pixels that its header tells; fetch it again",
             most);
    }
    if (status_ == Z_MEM_ERROR) throw std::bad_alloc();
    if (status_ != Z_OK && status_ != Z_STREAM_END)
      fail(ExitCode::data, "damaged PNG: {} in its image data; fetch it again",
           stream_.msg ? stream_.msg : "a preset dictionary");
  }
  void end() const {
    if (status_ != Z_STREAM_END) fail(ExitCode::data, "damaged PNG: its image data have no end; fetch it again");
  }

 private:
  z_stream stream_ = {};
  int status_ = Z_OK;
  uint8_t out_[1 << 15];
};
}

void check_png(Bytes bytes) {
  constexpr size_t around = 12, header_size = 13;    // length, type and checksum of a chunk
  PixelCheck pixels;
  uint64_t most = 0;
  for (size_t at = 8; bytes.size() - at >= around;) {
    const Bytes rest = bytes.subspan(at);
    const size_t size = number(rest);
    if (size > rest.size() - around) break;
    const Bytes content = rest.subspan(8, size);
    const std::string type(rest.begin() + 4, rest.begin() + 8);
    if (crc32(0, &rest[4], uint32_t(4 + size)) != number(rest.subspan(8 + size)))
      fail(ExitCode::data, "damaged PNG: wrong checksum of the chunk at byte {}; fetch it again", at);
    // Of others stb_image writes the name into memory that all threads share, and Apple's CgBI has its colours in
    // another order.
    if (!(type[0] & 0x20) && type != "IHDR" && type != "PLTE" && type != "IDAT" && type != "IEND")
      fail(ExitCode::data, "PNG with an unknown critical chunk at byte {}; fetch it again or convert it", at);
    if (type == "IHDR" && size == header_size) most = most_pixel_bytes(content);
    if (type == "IDAT") pixels.add(content, most);
    if (type == "IEND") return pixels.end();
    at += around + size;
  }
  fail(ExitCode::data, "damaged PNG: {} bytes without an end; fetch it again", bytes.size());
}
