// From a decoded image to the bytes the model sees: crop, resize, flip, as BigVision and TensorFlow's kernels
// define them, in their float32 arithmetic (compile with -ffp-contract=off: a fused multiply-add rounds differently).
// defines: Window, inception_crop, central_crop, resize_bilinear, resize_area, resize_small_central, flip, pad_crop,
//          Preprocess, check_preprocess, prepare_train, prepare_eval
#pragma once
#include <string>

#include "data/image.h"
#include "data/randaug.h"
#include "engine/random.h"

struct Window {
  int y = 0, x = 0, height = 0, width = 0;
  bool operator==(const Window&) const = default;
};

// TensorFlow's sample_distorted_bounding_box: 5 to 100 % of the area, width/height in [0.75, 1.33], up to 100 attempts.
Window inception_crop(int height, int width, Random& random);

// size x size in the middle of an image that is at least as large.
Window central_crop(int height, int width, int size);

// The window, resized with two taps a side and no antialiasing; clipped and truncated to whole numbers, as below.
Image resize_bilinear(const Image& image, const Window& window, int out_height, int out_width);

// Every pixel is the mean of the area it covers; only the window of the result is computed.
Image resize_area(const Image& image, int out_height, int out_width, const Window& window);

// The middle, crop x crop, of the image resized by area to a smaller side of `side`, the aspect ratio kept.
Image resize_small_central(const Image& image, int side, int crop);

// Left and right exchanged.
void flip(Image& image);

// A random crop of the same size after adding `pad` black pixels on every side.
Image pad_crop(const Image& image, int pad, Random& random);

struct Preprocess {
  int image_size = 224;
  std::string crop = "inception";    // inception | pad | none: how training cuts its square
  bool flip = true;                  // training flips every second image
  RandAugment randaug = {};             // on the flipped crop of training
  int pad = 4;                       // of crop "pad"
  bool stretch = false;  // evaluation, of any crop, gives up the aspect ratio, as BigVision's few-shot probe
};

void check_preprocess(const Preprocess& preprocess);    // fails on values that have no meaning

// out[image_size, image_size, 3]. Evaluation of crop "inception" takes the middle of an image resized to 256/224 of the
// size, its smaller side by area; of the others the image as it is where it has the size, else the middle of one
// resized to the size. With `stretch` any crop takes the middle of both sides resized to 256/224 of the size, bilinear.
void prepare_train(const Image& image, const Preprocess& preprocess, Random& random, uint8_t* out);
void prepare_eval(const Image& image, const Preprocess& preprocess, uint8_t* out);
