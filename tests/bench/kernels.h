// The kernels of one training step as NVIDIA's ncu measured them, by the parts of a step, beside what the budget says
// they must do.
// defines: Kernel, read_kernels, last_step, measured_parts, kernels_table
#pragma once
#include <filesystem>
#include <string>
#include <vector>
#include "tests/bench/budget.h"

struct Kernel {
  std::string name;
  double seconds, read, written; // bytes of DRAM
};

// From ncu --csv --page raw --print-units base --metrics
// gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum; what stands before the header is passed over. Data
// errors name the file and what is missing.
std::vector<Kernel> read_kernels(const std::filesystem::path& csv);

// From the kernel after an update to the end of the last update; fails where there are not two updates.
std::vector<Kernel> last_step(const std::vector<Kernel>& kernels);

std::map<std::string, Work, std::less<>> measured_parts(const std::vector<Kernel>& step);

// Parts by their time, measured beside the model's, and the `longest` kernels by name.
std::string kernels_table(const std::vector<Kernel>& step, const StepBudget& budget, int longest = 12);
