#include "data/matlab.h"

#include <matio.h>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/error.h"

namespace {
using Variable = std::unique_ptr<matvar_t, decltype(&Mat_VarFree)>;

// matio opens names only: the bytes become a file in memory for as long.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& bytes) : descriptor_(::memfd_create("matlab", MFD_CLOEXEC)) {
    if (descriptor_ < 0 || ::write(descriptor_, bytes.data(), bytes.size()) != ssize_t(bytes.size()))
      fail(ExitCode::failed, "no memory for a MATLAB file of {} bytes", bytes.size());
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  std::string name() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

 private:
  int descriptor_;
};

Variable read_variable(const std::string& bytes, const std::string& where, const char* name, matio_classes type) {
  const MemoryFile file(bytes);
  const std::unique_ptr<mat_t, decltype(&Mat_Close)> mat(Mat_Open(file.name().c_str(), MAT_ACC_RDONLY), Mat_Close);
  if (!mat) fail(ExitCode::data, "{} is no MATLAB file; fetch it again", where);
  Variable variable(Mat_VarRead(mat.get(), name), Mat_VarFree);
  if (!variable || variable->class_type != type || !variable->data || variable->rank != 2)
    fail(ExitCode::data, "{} has no variable '{}' of the expected kind; is it from the cars' devkit?", where, name);
  return variable;
}

std::string text_of(const matvar_t* value) {
  if (!value || value->class_type != MAT_C_CHAR || !value->data || value->data_size < 1 || value->data_size > 2)
    return "";
  const auto* bytes = static_cast<const char*>(value->data);
  std::string text;    // of ASCII, which MATLAB itself writes in 16 bits a letter, low byte first here
  for (size_t i = 0; i < value->nbytes; i += size_t(value->data_size)) text += bytes[i];
  return text;
}

int number_of(const matvar_t* value) {
  if (!value || !value->data || value->nbytes < size_t(value->data_size)) return 0;
  switch (value->class_type) {
    case MAT_C_DOUBLE: return int(*static_cast<const double*>(value->data));
    case MAT_C_UINT8: return *static_cast<const uint8_t*>(value->data);
    case MAT_C_UINT16: return *static_cast<const uint16_t*>(value->data);
    default: return 0;
  }
}
}

std::vector<CarAnnotation> read_car_annotations(const std::string& bytes, const std::string& where) {
  const Variable rows = read_variable(bytes, where, "annotations", MAT_C_STRUCT);
  std::vector<CarAnnotation> cars;
  for (size_t i = 0; i < rows->dims[0] * rows->dims[1]; i++) {
    CarAnnotation car{text_of(Mat_VarGetStructFieldByName(rows.get(), "fname", i)),
                      number_of(Mat_VarGetStructFieldByName(rows.get(), "class", i))};
    if (car.file.empty() || car.number < 1)
      fail(ExitCode::data, "{}: annotation {}: no class and fname; take the file with labels", where, i + 1);
    cars.push_back(std::move(car));
  }
  return cars;
}

std::vector<std::string> read_car_names(const std::string& bytes, const std::string& where) {
  const Variable cells = read_variable(bytes, where, "class_names", MAT_C_CELL);
  std::vector<std::string> names;
  for (size_t i = 0; i < cells->dims[0] * cells->dims[1]; i++)
    names.push_back(text_of(Mat_VarGetCell(cells.get(), int(i))));
  return names;
}
