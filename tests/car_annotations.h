// A MATLAB file as the cars' devkit has it, for tests.
// defines: car_annotations
#pragma once
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <matio.h>
#include <string>
#include <vector>

#include "tests/temp_dir.h"

// cars_train_annos.mat with the images 00001.jpg, 00002.jpg, ... of these classes.
inline std::string car_annotations(const std::vector<int>& classes) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "a.mat";
  mat_t* mat = Mat_CreateVer(path.c_str(), nullptr, MAT_FT_MAT5);
  const char* fields[] = {"class", "fname"};
  size_t row[] = {1, classes.size()};
  matvar_t* annotations = Mat_VarCreateStruct("annotations", 2, row, fields, 2);
  for (size_t i = 0; i < classes.size(); i++) {
    uint8_t number = uint8_t(classes[i]);
    std::string name = fmt::format("{:05}.jpg", i + 1);
    size_t one[] = {1, 1}, letters[] = {1, name.size()};
    Mat_VarSetStructFieldByName(annotations, "class", i,
                                Mat_VarCreate(nullptr, MAT_C_UINT8, MAT_T_UINT8, 2, one, &number, 0));
    std::u16string wide(name.begin(), name.end());    // as MATLAB has it; others write UTF-8
    matvar_t* text = i % 2 ? Mat_VarCreate(nullptr, MAT_C_CHAR, MAT_T_UTF8, 2, letters, name.data(), 0)
                           : Mat_VarCreate(nullptr, MAT_C_CHAR, MAT_T_UINT16, 2, letters, wide.data(), 0);
    Mat_VarSetStructFieldByName(annotations, "fname", i, text);
  }
  Mat_VarWrite(mat, annotations, MAT_COMPRESSION_ZLIB);
  Mat_VarFree(annotations);
  Mat_Close(mat);
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
