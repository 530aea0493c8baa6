// Tar archives, read in place: where each member's bytes lie. POSIX ustar and pax, GNU long names, base-256 sizes.
// defines: TarHeader, TarMember, TarReader, tar_block, tar_checksum
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/shards/file.h"

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
  std::string link;       // of a hard link: the name of the member before it whose bytes are its own, too
  const char* what = "";  // what it is where it is not regular: "folders", "links", ...
};

// Walks the members of the tar in bytes [begin, end) of a file; a nested tar is such a range. Reads only headers.
class TarReader {
 public:
  TarReader(const File& file, uint64_t begin, uint64_t end);

  // The next member, or false at the end. A hard link is as regular as the member that it names, and has its offset and
  // size. Data errors with file, member and offset: a damaged archive, a hard link to what is not before it, a sparse
  // member, whose bytes do not lie in one piece.
  bool next(TarMember& member);
  // the bytes of a small member, valid until the next call
  std::string_view content(const TarMember& member);
  // the name of the member whose header lies at `header`
  static std::string name_at(const File& file, uint64_t header);

 private:
  struct Extensions;
  bool read_member(TarMember& member);
  void check_header(const TarHeader& header, uint64_t at) const;
  void set_kind(TarMember& member, const TarHeader& header, const std::string& name,
                const Extensions& extensions) const;
  void take_extension(char type, uint64_t at, std::string_view bytes, Extensions& extensions) const;
  void follow(TarMember& link);
  std::string_view window(uint64_t offset, uint64_t size);
  void check_extent(const std::string& name, uint64_t data, uint64_t size) const;
  void check_end(uint64_t from);

  const File& file_;
  const uint64_t begin_, end_;
  uint64_t position_;
  uint64_t window_begin_ = 0;
  std::vector<char> window_;
  bool has_links_ = false;
  std::unordered_map<std::string, std::pair<uint64_t, uint64_t>> places_;    // of all members, from the first link on
};
