// Tar archives, read in place: where each member's bytes lie. POSIX ustar and pax, GNU long names, base-256 sizes.
// defines: TarHeader, TarMember, TarReader, tar_block, tar_checksum
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/file.h"

constexpr uint64_t tar_block = 512;

struct TarHeader {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
  char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
static_assert(sizeof(TarHeader) == tar_block);

// The sum of all bytes with the checksum field read as spaces.
uint32_t tar_checksum(const TarHeader& header);

struct TarMember {
  std::string name;
  uint64_t header = 0;    // where its first header block lies in the file (a long name has blocks of its own)
  uint64_t offset = 0;    // where its bytes lie in the file
  uint64_t size = 0;
  bool regular = false;
};

// Walks the members of the tar in bytes [begin, end) of a file; a nested tar is such a range. Reads only headers.
class TarReader {
 public:
  TarReader(const File& file, uint64_t begin, uint64_t end);

  // the next member, or false at the end; a damaged archive is a data error with file, member and offset
  bool next(TarMember& member);
  // the bytes of a small member, valid until the next call
  std::string_view content(const TarMember& member);

 private:
  std::string_view window(uint64_t offset, uint64_t size);
  void check_extent(const std::string& name, uint64_t data, uint64_t size) const;
  void check_end(uint64_t from);

  const File& file_;
  const uint64_t begin_, end_;
  uint64_t position_;
  uint64_t window_begin_ = 0;
  std::vector<char> window_;
};
