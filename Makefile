# make           build/train, build/eval, build/pack, build/bench
# make demo      install missing packages (apt), build, draw a small picture set, train three attention functions, compare, predict
# make test      install missing packages (apt), build and run all tests
# make bench     speed on this machine, in one table; PEERS=python: beside PyTorch, JAX, OpenVINO, ONNX Runtime
# make asan      the tests under AddressSanitizer and UndefinedBehaviorSanitizer, each reader on 2000 damaged files
# make odr       types of one name but two definitions, which the linker would mix: found by linking everything as one unit
# make test-eigen      the tests with Eigen's products in place of oneDNN's, and without CUDA
# make test-emulated   the CUDA device's tests on the CPU (needs the CUDA Toolkit's headers, no GPU)
# make test-gpu  the same tests on the GPU; make bench-gpu: its speed (both take programs in build/gpu as they are)
# make gpu-bundle      build/gpu-bundle.tar.xz, for a machine with a GPU and no compiler
# make test-card       the bundle's script, tests/cuda/card.sh, on the emulated device
# make static    registers, spills, instructions of each kernel
# make warnings  those of clang and of the newest g++ that is installed, as errors
# make fuzz      readers of files and patterns under libFuzzer, each for FUZZ_SECONDS (60); skipped without clang
# make planted   plants bugs in the CUDA device and sees that the emulation finds them (needs the Toolkit's headers, no GPU)
# make lines     lines of code by folder; make packages: install what is missing (apt); make clean; make help: this text
# Settings: V=1 (whole commands), WERROR=1 (warnings are errors), CXX, ARCH (for -march: native, x86-64-v3, x86-64-v4), ONEDNN=0 (products by Eigen), BUILD (folder),
#           CUDA=0 (without --device cuda), CUDA_HOME, CUDA_ARCH="80 90 100" (GPUs to build for; PTX of the last serves later ones)
CXX    ?= g++
ARCH   ?= native
BUILD  ?= build
EIGEN  ?= /usr/include/eigen3
ONEDNN ?= $(if $(wildcard /usr/include/dnnl.h /usr/include/*/dnnl.h /usr/local/include/dnnl.h),1,0)

NVCC   ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA   ?= $(if $(NVCC),1,0)
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))
# Those of 80, 90 and 100 that this nvcc knows.
CUDA_ARCH ?= $(if $(NVCC),$(filter $(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch)),80 90 100))

PACKAGES = g++ make libeigen3-dev libdnnl-dev libstb-dev libcli11-dev doctest-dev libarchive-dev nlohmann-json3-dev libfmt-dev zlib1g-dev \
           libssl-dev libtiff-dev libmatio-dev gnuplot-nox

# Of what takes no time when it runs, for the shortest compiling.
OPT     = -Og
# Warnings are errors where WERROR=1 says so, as CI does: another compiler's new warning must not keep anybody from building.
AS_ERRORS = $(if $(filter 1,$(WERROR)),-Werror -Wno-error=maybe-uninitialized)
# The compiler collects garbage from half a GiB on: a tenth less time. What may be uninitialised is a guess, which differs by version and -O: no error. -march without -ffast-math: NaN and infinity must stay visible. Contraction to FMA only changes rounding.
CXXFLAGS += -std=c++20 $(OPT) --param ggc-min-heapsize=524288 -march=$(ARCH) -fopenmp -Wall -Wextra $(AS_ERRORS) -Wno-psabi -Wno-stringop-overflow -I. -isystem $(EIGEN) \
            -DEIGEN_DONT_PARALLELIZE -MMD -MP
FLOAT     = $(if $(filter 1,$(ONEDNN)),-DRELUCENT_ONEDNN)
LDLIBS   += $(if $(filter 1,$(ONEDNN)),-ldnnl) -larchive -ltiff -lmatio -lcrypto -lz -lfmt -lpthread

CUDA_INCLUDE = $(if $(filter-out /usr,$(CUDA_HOME)),-isystem $(CUDA_HOME)/include)
WITH_CUDA    = -DRELUCENT_CUDA $(CUDA_INCLUDE)
# cuBLAS itself is loaded when a GPU is opened.
CUDA_LIBS    = -L$(CUDA_HOME)/lib64 -L$(CUDA_HOME)/lib -Wl,-rpath,$(CUDA_HOME)/lib64:$(CUDA_HOME)/lib -lcudart_static -ldl -lrt
# Machine code for each of CUDA_ARCH, and PTX of the last one, which later GPUs translate.
comma := ,
NVCC_COMMON = -std=c++20 -O3 --expt-relaxed-constexpr -I.
NVCCFLAGS = $(NVCC_COMMON) --threads 0 -Xcompiler -Wall,-Wextra$(if $(filter 1,$(WERROR)),$(comma)-Werror) \
            $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$a,code=sm_$a) -gencode arch=compute_$(lastword $(CUDA_ARCH)),code=compute_$(lastword $(CUDA_ARCH))

ENGINE = $(wildcard engine/*.cpp engine/cpu/*.cpp)
KERNELS = $(wildcard engine/cuda/*.cu)
ON_CUDA = $(wildcard engine/cuda/*.cpp)
MODELS = $(wildcard models/*.cpp models/attention/*.cpp)
DATA   = $(filter-out data/pack.cpp,$(wildcard data/*.cpp data/shards/*.cpp))
TESTS  = $(wildcard tests/*.cpp)
DOUBLE = $(wildcard tests/double/*.cpp) tests/main.cpp
BENCH  = $(wildcard tests/bench/*.cpp)

CPU_LIBRARY = $(patsubst %.cpp,$(BUILD)/%.o,$(ENGINE) $(MODELS) $(DATA))
LIBRARY = $(CPU_LIBRARY) $(if $(filter 1,$(CUDA)),$(ON_CUDA:%.cpp=$(BUILD)/%.o) $(KERNELS:%.cu=$(BUILD)/%.o))
PROGRAMS = $(BUILD)/train $(BUILD)/eval $(BUILD)/pack $(BUILD)/bench
# Where the tests' own objects lie: under sanitizers those of the plain build will do.
PLAIN ?= $(BUILD)

# A line for each file that is made, none under make -s; V=1: the whole command.
SILENT = $(findstring s,$(firstword -$(MAKEFLAGS)))
show = $(if $(V),,@$(if $(SILENT),,printf '%-5s %s\n' $(1) $@;))

all: $(PROGRAMS)
	@echo "built: $(PROGRAMS), for the CPU$(if $(filter 1,$(CUDA)), and GPUs (sm $(CUDA_ARCH)), alone: $(if $(NVCC),CUDA=0 was given,no nvcc was found))"

help:
	@sed -n '/^#/!q; s/^# //p' Makefile

$(BUILD)/train: $(BUILD)/train.o $(LIBRARY)
$(BUILD)/eval:  $(BUILD)/eval.o $(LIBRARY)
$(BUILD)/pack:  $(BUILD)/data/pack.o $(LIBRARY)
$(BUILD)/bench: $(LIBRARY) $(BENCH:%.cpp=$(PLAIN)/%.o)
$(BUILD)/tests/run: $(LIBRARY) $(TESTS:%.cpp=$(PLAIN)/%.o)
# The gradient checks: tape, kernels and model again, in double.
$(BUILD)/double/run: $(patsubst %.cpp,$(BUILD)/double/%.o,$(DOUBLE) engine/tape.cpp engine/parameters.cpp $(wildcard engine/cpu/*.cpp) models/vit.cpp models/fields.cpp models/learned.cpp $(wildcard models/attention/*.cpp)) \
  $(addprefix $(BUILD)/engine/,error.o machine.o signals.o text.o)

$(PROGRAMS) $(BUILD)/tests/run: LDLIBS += $(if $(filter 1,$(CUDA)),$(CUDA_LIBS))
$(PROGRAMS) $(BUILD)/tests/run $(BUILD)/double/run:
	@mkdir -p $(@D)
	$(call show,LINK)$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) $(LDLIBS) -o $@

# Other settings than those of the last build: what they touch again. (:= since what asks for it first has flags of its own.)
$(BUILD)/settings:        SETTINGS := $(CXX) $(CXXFLAGS) $(FLOAT) $(LDLIBS) $(CUDA_INCLUDE)
$(BUILD)/cuda-settings:   SETTINGS := $(NVCC) $(NVCCFLAGS)
$(BUILD)/device-settings: SETTINGS := CUDA=$(CUDA)
$(BUILD)/settings $(BUILD)/cuda-settings $(BUILD)/device-settings: FORCE
	@mkdir -p $(BUILD); echo '$(SETTINGS)' | cmp -s - $@ || echo '$(SETTINGS)' > $@
$(BUILD)/engine/device.o: $(BUILD)/device-settings
FORCE:
$(BUILD)/double/%.o: %.cpp $(BUILD)/settings
	@mkdir -p $(@D)
	$(call show,CXX)$(CXX) $(CXXFLAGS) -DREAL=double -c $< -o $@
$(BUILD)/%.o: %.cpp $(BUILD)/settings
	@mkdir -p $(@D)
	$(call show,CXX)$(CXX) $(CXXFLAGS) $(FLOAT) -c $< -o $@
$(BUILD)/%.o: %.cu $(BUILD)/cuda-settings
	@mkdir -p $(@D)
	$(call show,NVCC)$(NVCC) $(NVCCFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@
$(BUILD)/engine/cuda/%.o $(BUILD)/tests/cuda/%.o $(BUILD)/tests/emulator/%.o: CXXFLAGS += $(CUDA_INCLUDE)
$(BUILD)/engine/device.o: FLOAT += $(if $(filter 1,$(CUDA)),$(WITH_CUDA))

$(BUILD)/data/imagenet.o: data/wnids.txt
# Where the time goes: kernels, pictures, headers of tars, counting what passes through attention, what is done for each sample and class,
# Eigen's solver, and emulated kernels. Resizing must round as TensorFlow does, so no fused multiply-add there.
$(BUILD)/engine/cpu/%.o $(BUILD)/eigen/engine/cpu/%.o: OPT = -O3 -fno-math-errno -fno-trapping-math
$(BUILD)/models/statistics.o: OPT = -O3
$(BUILD)/data/transform.o $(BUILD)/data/randaug.o: OPT = -O3 -ffp-contract=off
$(addprefix $(BUILD)/,engine/dtype.o models/train_step.o models/evaluate.o models/fewshot.o $(patsubst %,data/%.o,image jpeg png synthetic encode)) $(BUILD)/data/shards/%.o $(BUILD)/tests/emulator/%.o $(BUILD)/emulated/%.o $(BUILD)/tsan/%.o: OPT = -O2
# Eigen's AVX-512 packets set off a false alarm of g++ 12 (as fmt does with -Wstringop-overflow).
$(BUILD)/engine/cpu/gemm.o $(BUILD)/double/engine/cpu/gemm.o $(BUILD)/eigen/engine/cpu/gemm.o $(BUILD)/tests/emulator/cublas.o $(BUILD)/models/fewshot.o: CXXFLAGS += -Wno-maybe-uninitialized -Wno-uninitialized

# Missing Debian packages, by name, through apt; says what it does.
APT_WAITS = -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300
packages:
	@missing=$$(for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if [ -z "$$missing" ]; then echo "packages: all installed"; else \
	  echo "packages: installing" $$missing; sudo=$$([ $$(id -u) = 0 ] || echo sudo); \
	  $$sudo apt-get $(APT_WAITS) update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get $(APT_WAITS) install -y -qq $$missing >/dev/null; fi

# nvcc takes its time: where there is no GPU, nobody said CUDA=1 and kernels were not built before, the demo does without.
DEMO_CUDA = $(if $(wildcard /dev/nvidiactl /dev/dxg $(BUILD)/engine/cuda/kernels.o)$(filter command environment,$(origin CUDA)),$(CUDA),0)
DEMO_MODEL = --image-size 32 --patch 4 --width 64 --depth 4 --heads 2 --qk-norm
demo: packages
	@echo "demo: builds the programs (a minute or so), draws 7200 pictures, trains three small ViTs (two more) and compares them"
	@$(MAKE) --no-print-directory -s -j$$(nproc) CUDA=$(DEMO_CUDA) $(BUILD)/train $(BUILD)/eval $(BUILD)/pack
	@rm -rf demo && $(BUILD)/pack drawn --out demo
	$(BUILD)/train --train 'demo/train-*.tar' --val 'demo/val-*.tar' --out demo/run $(DEMO_MODEL) \
	  --attention softmax,relu,relu:0 --crop none --no-flip --epochs 8 --eval-every 0 --batch 50 --lr 5e-4
	@tar -xf demo/val-0000.tar -C demo $$(tar -tf demo/val-0000.tar | grep -m1 jpg)
	$(BUILD)/eval predict --checkpoint demo/run/relu-alpha1/best.safetensors demo/*.jpg

test: packages
	@echo "test: builds the programs and the tests, in float and (gradient checks) in double, and runs them all"
	@$(MAKE) --no-print-directory -s -j$$(nproc) all $(BUILD)/tests/run $(BUILD)/double/run
	$(BUILD)/double/run
	$(BUILD)/tests/run

bench: all
	$(BUILD)/bench table
	$(BUILD)/bench attention
	$(BUILD)/bench growth
	$(if $(PEERS),$(PEERS) tests/bench/peers.py --bench $(BUILD)/bench)

lines:
	@for d in engine models data tests; do printf '%-8s' $$d; find $$d -name '*.h' -o -name '*.cpp' -o -name '*.cu' | xargs cat | wc -l; done; printf '%-8s' programs; cat train.cpp eval.cpp | wc -l

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -path $(BUILD)/fresh -prune -o -name '*.d' -type f -print 2>/dev/null)

include tests/checks.mk

.PHONY: FORCE all clean packages demo test bench lines help
.SECONDARY:
