// The MATLAB files of the Stanford cars, through matio.
// defines: CarAnnotation, read_car_annotations, read_car_names
#pragma once
#include <string>
#include <vector>

struct CarAnnotation {
  std::string file;
  int number;    // of its class, from 1
};

// The variable `annotations` of cars_train_annos.mat and its like: a row of structs with the fields `class` and
// `fname`.
std::vector<CarAnnotation> read_car_annotations(const std::string& bytes, const std::string& where);
// The variable `class_names` of cars_meta.mat: a row of texts.
std::vector<std::string> read_car_names(const std::string& bytes, const std::string& where);
