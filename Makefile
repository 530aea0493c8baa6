# make           build/train, build/eval, build/pack, build/bench
# make demo      install missing packages (apt), build, draw a small picture set, train four attention functions, compare, predict
# make test      install missing packages (apt), build and run all tests
# make bench     speed on this machine
# make asan      the tests under AddressSanitizer and UndefinedBehaviorSanitizer
# make lines     lines of code by folder
# Settings: CXX, ARCH (for -march: native, x86-64-v3, x86-64-v4), ONEDNN=0 (products by Eigen), BUILD (folder)
CXX    ?= g++
ARCH   ?= native
BUILD  ?= build
EIGEN  ?= /usr/include/eigen3
ONEDNN ?= $(if $(wildcard /usr/include/dnnl.h /usr/include/*/dnnl.h /usr/local/include/dnnl.h),1,0)

PACKAGES = g++ make libeigen3-dev libdnnl-dev libstb-dev libcli11-dev doctest-dev libarchive-dev nlohmann-json3-dev libfmt-dev zlib1g-dev

# -march without -ffast-math: NaN and infinity must stay visible. Contraction to FMA only changes rounding.
CXXFLAGS += -std=c++20 -O3 -march=$(ARCH) -fopenmp -Wall -Wextra -Werror -Wno-psabi -Wno-stringop-overflow -I. -isystem $(EIGEN) \
            -DEIGEN_DONT_PARALLELIZE -MMD -MP
FLOAT     = $(if $(filter 1,$(ONEDNN)),-DRELUCENT_ONEDNN)
LDLIBS   += $(if $(filter 1,$(ONEDNN)),-ldnnl) -larchive -lz -lfmt -lpthread

ENGINE = $(wildcard engine/*.cpp engine/cpu/*.cpp)
MODELS = $(wildcard models/*.cpp)
DATA   = $(filter-out data/pack.cpp,$(wildcard data/*.cpp))
TESTS  = $(wildcard tests/*.cpp)
DOUBLE = $(wildcard tests/double/*.cpp) tests/main.cpp

LIBRARY = $(patsubst %.cpp,$(BUILD)/%.o,$(ENGINE) $(MODELS) $(DATA))
PROGRAMS = $(BUILD)/train $(BUILD)/eval $(BUILD)/pack $(BUILD)/bench

all: $(PROGRAMS)

$(BUILD)/train: $(BUILD)/train.o $(LIBRARY)
$(BUILD)/eval:  $(BUILD)/eval.o $(LIBRARY)
$(BUILD)/pack:  $(BUILD)/data/pack.o $(LIBRARY)
$(BUILD)/bench: $(BUILD)/tests/bench/bench.o $(LIBRARY)
$(BUILD)/tests/run: $(TESTS:%.cpp=$(BUILD)/%.o) $(LIBRARY)
# The gradient checks: engine and models again, in double.
$(BUILD)/double/run: $(patsubst %.cpp,$(BUILD)/double/%.o,$(DOUBLE) $(ENGINE) models/vit.cpp)

$(PROGRAMS) $(BUILD)/tests/run $(BUILD)/double/run:
	$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) $(LDLIBS) -o $@
$(BUILD)/double/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -DREAL=double -c $< -o $@
$(BUILD)/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(FLOAT) -c $< -o $@

# Eigen's AVX-512 packets set off a false alarm of g++ 12 (as fmt does with -Wstringop-overflow).
$(BUILD)/engine/cpu/gemm.o $(BUILD)/double/engine/cpu/gemm.o: CXXFLAGS += -Wno-maybe-uninitialized

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all clean
.SECONDARY:
