// The files that people have, in folders or in archives: a list of names, and the bytes of each on request.
// defines: Member, Members, is_packable_image
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/paths.h"
#include "data/tally.h"

struct Member {
  std::string path;     // components joined by "/", safe as names
  std::string where;    // for messages; of a folder's file also where it lies
  uint64_t offset = 0;  // of an archive's member: in the scratch file
  uint64_t size = 0;
  bool in_scratch = false;
};

// Archives can be read in their own order only, and compressed ones only from the front: what is kept of them goes to a
// scratch file without a name, which ends with the process however that ends. Memory holds names alone.
class Members {
 public:
  using Keep = std::function<bool(std::string_view path, std::string_view head)>;

  explicit Members(const std::filesystem::path& scratch_folder) : scratch_folder_(scratch_folder) {}
  ~Members();
  Members(const Members&) = delete;

  void add_folder(const std::filesystem::path& folder, const Keep& keep);    // as walk_folder has it, sorted by name
  void add_archive(const std::filesystem::path& file, const Keep& keep);
  void add_file(const std::filesystem::path& file);
  // whichever of these three it is
  void add(const std::filesystem::path& path, const Keep& keep);

  const std::vector<Member>& all() const { return all_; }
  const Tally& passed_over() const { return passed_over_; }    // what `keep` refused, links to that, devices
  std::string read(const Member& member) const;            // any thread may call it
  std::string read(const Member& member, uint64_t offset, size_t size) const;

 private:
  bool try_archive(const std::filesystem::path& file, const Keep& keep);
  void append(std::string_view bytes);
  void open_scratch();

  std::filesystem::path scratch_folder_;
  int scratch_ = -1;
  uint64_t scratch_size_ = 0;
  Tally passed_over_;
  std::vector<Member> all_;
};

// It ends as images do, or begins as JPEG, PNG or TIFF does.
bool is_packable_image(std::string_view path, std::string_view head);
