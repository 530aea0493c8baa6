#include "data/matlab.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <matio.h>
#include <memory>
#include <sstream>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/error.h"

namespace {
using Variable = std::unique_ptr<matvar_t, decltype(&Mat_VarFree)>;

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() { ::close(descriptor_); }
  Descriptor(const Descriptor&) = delete;
  int operator*() const { return descriptor_; }

 private:
  int descriptor_;
};

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(descriptor, text.data(), text.size());
    if (done < 0 && errno != EINTR) fail(ExitCode::failed, "no memory for a MATLAB file");
    if (done > 0) text.remove_prefix(size_t(done));
  }
}

constexpr size_t most_rows = 1'000'000;    // of the cars there are 16,185

// What the process has now and 400 MiB more, a second and two for each MiB of the file, and no core file.
void limit_child(size_t file) {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t bytes = pages * uint64_t(::sysconf(_SC_PAGESIZE)) + (uint64_t(400) << 20),
               seconds = 1 + 2 * (file >> 20);
  const rlimit memory{bytes, bytes}, time{seconds, seconds}, none{0, 0};
  ::setrlimit(RLIMIT_AS, &memory);
  ::setrlimit(RLIMIT_CPU, &time);
  ::setrlimit(RLIMIT_CORE, &none);
}

// matio believes what a damaged file says: it may ask for all memory, or read beyond what it has. So a child reads the
// file, and its text comes back.
template <class Read>
std::string read_apart(const std::string& where, size_t size, Read read) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(ExitCode::failed, "cannot make a pipe");
  const Descriptor from(ends[0]);
  pid_t child;
  {
    const Descriptor to(ends[1]);
    child = ::fork();
    if (child < 0) fail(ExitCode::failed, "cannot start a process");
    if (child == 0) {
      ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);    // where matio complains in many lines
      for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT})
        std::signal(number, SIG_DFL);  // a crash ends the child alone
      limit_child(size);
      try {
        write_all(*to, read());
        ::_exit(int(ExitCode::ok));
      } catch (const Error& error) {
        write_all(*to, error.what());
      } catch (const std::exception&) {    // no memory: as damaged as a crash
        ::_exit(int(ExitCode::failed));
      }
      ::_exit(int(ExitCode::data));
    }
  }
  std::string text;
  char piece[4096];
  for (ssize_t got; (got = ::read(*from, piece, sizeof piece)) > 0 || (got < 0 && errno == EINTR);)
    text.append(piece, size_t(std::max<ssize_t>(got, 0)));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (WIFEXITED(status) && WEXITSTATUS(status) == int(ExitCode::ok)) return text;
  if (WIFEXITED(status) && WEXITSTATUS(status) == int(ExitCode::data)) fail(ExitCode::data, "{}", text);
  fail(ExitCode::data, "{}: damaged MATLAB file; fetch it again", where);
}

// matio opens names only: the bytes become a file in memory for as long.
Variable read_variable(const std::string& bytes, const std::string& where, const char* name, matio_classes type) {
  const Descriptor file(::memfd_create("matlab", MFD_CLOEXEC));
  write_all(*file, bytes);
  const std::string path = fmt::format("/proc/self/fd/{}", *file);
  const std::unique_ptr<mat_t, decltype(&Mat_Close)> mat(Mat_Open(path.c_str(), MAT_ACC_RDONLY), Mat_Close);
  if (!mat) fail(ExitCode::data, "{} is no MATLAB file; fetch it again", where);
  Variable variable(Mat_VarRead(mat.get(), name), Mat_VarFree);
  if (!variable || variable->class_type != type || !variable->data || variable->rank != 2)
    fail(ExitCode::data, "{} has no variable '{}' of the expected kind; is it from the cars' devkit?", where, name);
  if (variable->dims[1] && variable->dims[0] > most_rows / variable->dims[1])
    fail(ExitCode::data, "{}: '{}' has {} x {} entries, limit {}; is it from the cars' devkit?", where, name,
         variable->dims[0], variable->dims[1], most_rows);
  return variable;
}

std::string text_of(const matvar_t* value) {
  if (!value || value->class_type != MAT_C_CHAR || !value->data || value->data_size < 1 || value->data_size > 2)
    return "";
  const auto* bytes = static_cast<const char*>(value->data);
  std::string text;    // of ASCII, which MATLAB itself writes in 16 bits a letter, low byte first here
  for (size_t i = 0; i < value->nbytes; i += size_t(value->data_size)) text += bytes[i] < ' ' ? '_' : bytes[i];
  return text;
}

int number_of(const matvar_t* value) {
  if (!value || !value->data || value->data_size < 1 || value->nbytes < size_t(value->data_size)) return 0;
  switch (value->class_type) {
    case MAT_C_DOUBLE: {
      const double number = *static_cast<const double*>(value->data);
      return number >= 1 && number < 1e6 ? int(number) : 0;
    }
    case MAT_C_UINT8: return *static_cast<const uint8_t*>(value->data);
    case MAT_C_UINT16: return *static_cast<const uint16_t*>(value->data);
    default: return 0;
  }
}
}

std::vector<CarAnnotation> read_car_annotations(const std::string& bytes, const std::string& where) {
  std::istringstream lines(read_apart(where, bytes.size(), [&] {
    const Variable rows = read_variable(bytes, where, "annotations", MAT_C_STRUCT);
    std::string text;
    for (size_t i = 0; i < rows->dims[0] * rows->dims[1]; i++) {
      const std::string file = text_of(Mat_VarGetStructFieldByName(rows.get(), "fname", i));
      const int number = number_of(Mat_VarGetStructFieldByName(rows.get(), "class", i));
      if (file.empty() || number < 1)
        fail(ExitCode::data, "{}: annotation {}: no class and fname; take the file with labels", where, i + 1);
      text += fmt::format("{} {}\n", number, file);
    }
    return text;
  }));
  std::vector<CarAnnotation> cars;
  for (CarAnnotation car; lines >> car.number && lines.get() == ' ' && std::getline(lines, car.file);)
    cars.push_back(car);
  return cars;
}

std::vector<std::string> read_car_names(const std::string& bytes, const std::string& where) {
  std::istringstream lines(read_apart(where, bytes.size(), [&] {
    const Variable cells = read_variable(bytes, where, "class_names", MAT_C_CELL);
    std::string text;
    for (size_t i = 0; i < cells->dims[0] * cells->dims[1]; i++)
      text += text_of(Mat_VarGetCell(cells.get(), int(i))) + '\n';
    return text;
  }));
  std::vector<std::string> names;
  for (std::string name; std::getline(lines, name);) names.push_back(name);
  return names;
}
