// MATLAB files of the cars' devkit.
#include "data/matlab.h"

#include "tests/fuzz/fuzz.h"
#include "tests/car_annotations.h"

void run(Bytes input) {
  read_car_annotations(text_of(input), "x.mat");
  read_car_names(text_of(input), "x.mat");
}

std::vector<std::string> seeds() { return {car_annotations({3, 1, 2})}; }
