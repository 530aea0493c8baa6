// The safetensors format: named tensors behind a JSON header; weights and training state are kept in it.
// defines: StoredTensor, SafeTensors, write_safetensors, of_every_file
#pragma once
#include <map>
#include <vector>

#include "engine/dtype.h"
#include "engine/files.h"

// A named tensor as it lies in a file or in memory; a view, the bytes belong to someone else.
struct StoredTensor {
  std::string name, dtype;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// A safetensors file, checked when opened: header, offsets, sizes, and the checksum where it has one. Another program
// that writes a file again hands on metadata it does not know, so the checksum holds for headers as write_safetensors
// has them.
class SafeTensors {
 public:
  explicit SafeTensors(const std::filesystem::path& path);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }    // views into the mapped file
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const StoredTensor& at(const std::string& name) const;    // an error where there is none
  std::vector<float> floats(const std::string& name) const;
  std::vector<int64_t> ints(const std::string& name) const;

 private:
  std::string where(const std::string& name) const;

  std::filesystem::path path_;
  MappedFile file_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Written atomically, with metadata keys "format" (pt: what PyTorch users' loaders ask for) and "crc32" of all tensors.
void write_safetensors(const std::filesystem::path& path, std::vector<StoredTensor> tensors,
                       std::map<std::string, std::string> metadata = {});
bool of_every_file(const std::string& key);    // one of these two keys
