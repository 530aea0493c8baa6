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
# Settings: WERROR=1 (warnings are errors), CXX, ARCH (for -march: native, x86-64-v3, x86-64-v4), ONEDNN=0 (products by Eigen), BUILD (folder),
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
	$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) $(LDLIBS) -o $@

# The CUDA device on the CPU: the same sources, compiled by g++ and linked with tests/emulator in place of CUDA's libraries.
# DEVICE_TESTS run on either device. Under TSan only the kernels are: the emulator tells it which threads there are.
DEVICE_TESTS = $(patsubst %,$(PLAIN)/tests/%.o,attention attention_layer inspect words tape vit golden optimizer device main) $(patsubst %.cpp,$(PLAIN)/%.o,$(wildcard tests/cuda/*.cpp))
EMULATION = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/emulator/*.cpp) $(ON_CUDA)) $(filter-out %/engine/device.o,$(CPU_LIBRARY)) $(BUILD)/emulated/engine/device.o
EMULATED = $(addprefix $(BUILD)/emulated/,tests/run train eval pack bench)
$(BUILD)/emulated/train $(BUILD)/eigen/train: $(BUILD)/train.o
$(BUILD)/emulated/eval $(BUILD)/eigen/eval:   $(BUILD)/eval.o
$(BUILD)/emulated/pack $(BUILD)/eigen/pack:   $(BUILD)/data/pack.o
$(BUILD)/emulated/bench: $(BENCH:%.cpp=$(PLAIN)/%.o)
$(EMULATED): $(EMULATION) $(KERNELS:%.cu=$(BUILD)/emulated/%.o)
$(BUILD)/tsan/tests/run: $(EMULATION) $(KERNELS:%.cu=$(BUILD)/tsan/%.o)
$(BUILD)/emulated/tests/run $(BUILD)/tsan/tests/run: $(DEVICE_TESTS)
# Without vectors under a mask and calls of memset, at which TSan is not called.
SEEN = -fsanitize=thread -fno-tree-vectorize -fno-tree-loop-distribute-patterns
$(BUILD)/tsan/%: private CXXFLAGS += $(SEEN)
# Programs that count the bytes each launch moves: TSan's calls at each access in kernels, to functions that count. Kernels
# come last: of a function inline there too the linker takes the first it meets, which makes no such calls.
COUNTED = $(BUILD)/counted/tests/run $(BUILD)/counted/bench
TRAFFIC = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/emulator/traffic/*.cpp))
$(BUILD)/counted/tests/run: $(TRAFFIC) $(PLAIN)/tests/main.o $(addprefix $(PLAIN)/tests/bench/,budget.o kernels.o)
$(BUILD)/counted/bench: $(BENCH:%.cpp=$(PLAIN)/%.o)
COUNTING = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/emulator/counting/*.cpp))
$(COUNTED): $(COUNTING) $(EMULATION) $(KERNELS:%.cu=$(BUILD)/counted/%.o)
# Kernels are internal to their files: global, dladdr knows their names.
$(BUILD)/counted/%.o: $(BUILD)/tsan/%.o
	@mkdir -p $(@D)
	objcopy --wildcard --globalize-symbol='*_kernelI*' $< $@
$(EMULATED) $(COUNTED) $(BUILD)/tsan/tests/run:
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -rdynamic $^ $(LDFLAGS) $(LDLIBS) -o $@

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
	$(CXX) $(CXXFLAGS) -DREAL=double -c $< -o $@
$(BUILD)/eigen/%.o: %.cpp $(BUILD)/settings
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -c $< -o $@
$(BUILD)/%.o: %.cpp $(BUILD)/settings
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(FLOAT) -c $< -o $@
$(BUILD)/%.o: %.cu $(BUILD)/cuda-settings
	@mkdir -p $(@D)
	$(NVCC) $(NVCCFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@
$(BUILD)/emulated/%.o: %.cu $(BUILD)/settings
	@mkdir -p $(@D)
	$(CXX) -x c++ $(CXXFLAGS) -c $< -o $@
$(BUILD)/tsan/%.o: %.cu $(BUILD)/settings
	@mkdir -p $(@D)
	$(CXX) -x c++ $(CXXFLAGS) -c $< -o $@
$(BUILD)/emulated/%.o: %.cpp $(BUILD)/settings
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(FLOAT) -c $< -o $@
$(BUILD)/emulated/%.o: FLOAT += $(WITH_CUDA)
$(BUILD)/emulated/%.o $(BUILD)/tsan/%.o: CXXFLAGS += $(CUDA_INCLUDE) -Wno-unknown-pragmas -fno-strict-aliasing
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

# What is compiled otherwise without oneDNN and CUDA is these objects.
WITHOUT_LIBRARIES = $(addprefix $(BUILD)/eigen/engine/,cpu/gemm.o device.o)
WITH_EIGEN = $(addprefix $(BUILD)/eigen/,tests/run train eval pack bench)
$(BUILD)/eigen/tests/run: $(TESTS:%.cpp=$(BUILD)/%.o)
$(BUILD)/eigen/bench: $(BENCH:%.cpp=$(BUILD)/%.o)
$(WITH_EIGEN): $(filter-out %/engine/cpu/gemm.o %/engine/device.o,$(CPU_LIBRARY)) $(WITHOUT_LIBRARIES)
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) $(filter-out -ldnnl,$(LDLIBS)) -o $@
test-eigen: packages
	@echo "test-eigen: builds the programs and the tests without oneDNN and CUDA, and runs the tests"
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(WITH_EIGEN)
	RELUCENT_BUILD=$(BUILD)/eigen $(BUILD)/eigen/tests/run

# The tests of ops, attention and models on the emulated CUDA device, in other orders of threads and streams, and under TSan.
KERNEL_SUITES = -ts="attention,fused attention,fused products,ops on cuda,device,golden,optimizer"
test-emulated: packages
	@if [ -z "$(CUDA_HEADERS)" ]; then echo "skipped: the emulated CUDA device, for want of the CUDA Toolkit's headers"; exit; fi; \
	set -e; echo "test-emulated: builds the CUDA device with g++, every CUDA thread a fiber, and runs the tests on it"; \
	$(MAKE) --no-print-directory -s -j$$(nproc) $(EMULATED) $(COUNTED) $(BUILD)/tsan/tests/run; export RELUCENT_TEST_DEVICE=cuda; \
	tests/side_by_side '$(BUILD)/counted/tests/run' '$(BUILD)/tsan/tests/run $(KERNEL_SUITES)' '$(BUILD)/emulated/tests/run' \
	  'EMULATOR_ORDER=1 EMULATOR_LAZY=1 $(BUILD)/emulated/tests/run $(KERNEL_SUITES)' 'EMULATOR_ORDER=7 EMULATOR_LAZY=2 $(BUILD)/emulated/tests/run $(KERNEL_SUITES)'

# On a machine with a GPU: the same tests on it, then under compute-sanitizer if it is there; and its speed.
GPU_PROGRAMS = $(addprefix $(BUILD)/gpu/,tests/run train eval pack bench)
GPU_RUN = $(BUILD)/gpu/tests/run
$(GPU_RUN): $(DEVICE_TESTS) $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) $(LDLIBS) $(CUDA_LIBS) -o $@
$(filter-out $(GPU_RUN),$(GPU_PROGRAMS)): $(BUILD)/gpu/%: $(BUILD)/%
	@mkdir -p $(@D)
	ln -sf ../$* $@
# Programs that are there are taken as they are, for where they run there may be nothing to build with.
gpu-programs:
	@if ! ls $(GPU_PROGRAMS) >/dev/null 2>&1; then \
	  $(MAKE) --no-print-directory packages && $(MAKE) --no-print-directory -s -j$$(nproc) $(GPU_PROGRAMS); \
	elif [ -n "$$(find $(wildcard engine models data tests *.cpp) -newer $(GPU_RUN) -name '*.[ch]*' | head -1)" ]; then \
	  echo "note: sources are newer than $(BUILD)/gpu; what is there is taken, rm -r $(BUILD)/gpu has it built anew"; fi
test-gpu:
	@if [ "$(CUDA)" != 1 ] && [ ! -x $(GPU_RUN) ]; then echo "skipped: tests on the GPU, for want of nvcc"; exit; fi; \
	set -e; $(MAKE) --no-print-directory gpu-programs; export RELUCENT_TEST_DEVICE=cuda; \
	if ! $(BUILD)/gpu/train --train / --out $(BUILD)/gpu/none --steps 1 --device cuda 2>&1 | grep "no GPU can be used" ; then \
	  $(GPU_RUN); \
	  if sanitizer=$$(command -v compute-sanitizer || ls $(CUDA_HOME)/bin/compute-sanitizer 2>/dev/null); then \
	    for tool in memcheck racecheck; do $$sanitizer --tool $$tool --error-exitcode 1 $(GPU_RUN) -ts="fused attention,device" -tce="*uploaded*,many tiles,errors"; done; \
	  else echo "skipped: compute-sanitizer is not installed"; fi; \
	else echo "skipped: tests on the GPU: there is none"; fi
bench-gpu: gpu-programs
	tests/cuda/card.sh --programs $(BUILD)/gpu --only card,ceilings,speed,attention,pytorch

# Programs for another machine find the libraries that travel with them in lib/ beside them; cuBLAS is that machine's.
BUNDLED = $(addprefix $(BUILD)/bundle/,tests/run train eval pack bench)
$(BUILD)/bundle/train: $(BUILD)/train.o
$(BUILD)/bundle/eval:  $(BUILD)/eval.o
$(BUILD)/bundle/pack:  $(BUILD)/data/pack.o
$(BUILD)/bundle/bench: $(BENCH:%.cpp=$(PLAIN)/%.o)
$(BUILD)/bundle/tests/run: $(DEVICE_TESTS)
$(BUNDLED): LDFLAGS += -s -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/lib:$$ORIGIN/../lib'
$(BUNDLED): $(LIBRARY)
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) $(LDLIBS) $(filter-out -Wl%,$(CUDA_LIBS)) -o $@
bundled-programs: $(BUNDLED)
gpu-bundle: packages
	@if [ "$(CUDA)" != 1 ]; then echo "gpu-bundle: nvcc is needed" >&2; exit 1; fi
	@$(MAKE) --no-print-directory -s -j$$(nproc) BUILD=$(BUILD)/h100 ARCH=x86-64-v3 CUDA_ARCH=90 bundled-programs
	tests/cuda/bundle $(BUILD)/h100/bundle $(BUILD)/gpu-bundle.tar.xz \
	  "$$($(NVCC) --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p'), sm_90, x86-64-v3"

# The bundle's script on the emulated device with stand-ins for NVIDIA's tools: to its end, and with a step that fails.
test-card: packages
	@if [ -z "$(CUDA_HEADERS)" ]; then echo "skipped: card.sh, for want of the CUDA Toolkit's headers"; exit; fi; \
	$(MAKE) --no-print-directory -s -j$$(nproc) $(EMULATED) && tests/cuda/test_card $(BUILD)/emulated

# What nvcc makes of the kernels, against a table; and the table anew.
static:
	@if [ "$(CUDA)" != 1 ]; then echo "skipped: what nvcc makes of the kernels, for want of nvcc"; else NVCCFLAGS='$(NVCC_COMMON)' tests/cuda/static $(NVCC) $(BUILD); fi
static-update:
	NVCCFLAGS='$(NVCC_COMMON)' tests/cuda/static $(NVCC) $(BUILD) update

# Bugs planted in kernels, calls and the shipped sources: each must be found.
planted: packages
	@if [ -z "$(CUDA_HEADERS)" ]; then echo "skipped: planted bugs, for want of the CUDA Toolkit's headers"; else $(MAKE) --no-print-directory planted-bugs; fi
# As the emulated kernels beside them.
planted-bugs: OPT = -O2
planted-bugs:
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(BUILD)/emulated/tests/run $(BUILD)/tsan/tests/run
	@BUILD=$(BUILD)/planted COMPILE='$(CXX) $(CXXFLAGS) $(CUDA_INCLUDE) -Wno-unknown-pragmas -Wno-maybe-uninitialized -fno-strict-aliasing' \
	  LINK='$(CXX) $(CXXFLAGS) $(CUDA_INCLUDE) -Wno-maybe-uninitialized -rdynamic' LIBS='$(LDFLAGS) $(LDLIBS)' \
	  EMULATOR='$(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/emulator/*.cpp) engine/cuda/runtime.cpp engine/error.cpp engine/text.cpp)' OBJECTS='$(DEVICE_TESTS) $(EMULATION)' \
	  KERNELS='$(KERNELS:.cu=.o)' EMULATED_KERNELS=$(BUILD)/emulated TSAN_KERNELS=$(BUILD)/tsan tests/emulator/planted/build
	@tests/emulator/planted/run $(BUILD)/planted

CUDA_HEADERS = $(wildcard $(CUDA_HOME)/include/cuda_runtime_api.h)
ASAN_RUN = RELUCENT_BUILD=$(BUILD)/asan $(BUILD)/asan/tests/run $(SWEEPS)
# They start programs by the hundred, or train for long: nothing that the other tests have not done under sanitizers.
SWEEPS = -tce="one batch is learned by*,no flag of any program*,every subcommand*,a signal is known as soon*"
# As long as all others together.
HALF = "mutations,attention,attention layer,inspect"
# Of a function in a header the linker takes the first it meets, so that of the library, which is checked.
# -Wno-uninitialized: at -Og g++ 12 warns of its own header of AVX-512.
asan:
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(TESTS:%.cpp=$(BUILD)/%.o) $(BENCH:%.cpp=$(BUILD)/%.o) $(if $(CUDA_HEADERS),$(DEVICE_TESTS))
	@CXXFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -Wno-uninitialized" \
	  $(MAKE) --no-print-directory -s -j$$(nproc) BUILD=$(BUILD)/asan PLAIN=$(BUILD) CUDA=0 OPT="-Og -g1 -ffp-contract=off" \
	  $(PROGRAMS:$(BUILD)/%=$(BUILD)/asan/%) $(BUILD)/asan/tests/run $(if $(CUDA_HEADERS),$(BUILD)/asan/emulated/tests/run)
	@export ASAN_OPTIONS=allocator_may_return_null=1:quarantine_size_mb=64 RELUCENT_MUTATIONS=2000; \
	  tests/side_by_side '$(ASAN_RUN) -ts=$(HALF)' '$(ASAN_RUN) -tse=$(HALF)' \
	  $(if $(CUDA_HEADERS),'RELUCENT_TEST_DEVICE=cuda $(BUILD)/asan/emulated/tests/run $(KERNEL_SUITES) -tce="many tiles"','echo skipped: the emulated CUDA device: there are no headers of the CUDA Toolkit')

odr: packages
	@echo "odr: compiles the programs and tests for a link as one unit, which shows types of two definitions"
	@$(MAKE) --no-print-directory -s -j$$(nproc) BUILD=$(BUILD)/odr CUDA=0 OPT="-O0 -flto=auto -Werror=odr" \
	  LDFLAGS="-r -flinker-output=rel" LDLIBS= $(PROGRAMS:$(BUILD)/%=$(BUILD)/odr/%) $(BUILD)/odr/tests/run
	@echo "odr: every type has one definition"

warnings: packages
	tests/warnings '$(CXX)' -std=c++20 -march=$(ARCH) -fopenmp -Wall -Wextra -Wno-psabi -I. -isystem $(EIGEN) -DEIGEN_DONT_PARALLELIZE $(FLOAT)

# Whatever reads bytes or patterns of others, under libFuzzer and sanitizers.
FUZZ = $(filter-out driver,$(patsubst tests/fuzz/%.cpp,%,$(wildcard tests/fuzz/*.cpp)))
FUZZED = $(DATA) $(wildcard models/attention/*.cpp) $(addprefix models/,bigvision.cpp checkpoint.cpp classes.cpp fields.cpp foreign.cpp learned.cpp presets.cpp run_log.cpp vit.cpp weights.cpp weights_file.cpp) \
  $(addprefix engine/,console.cpp dtype.cpp error.cpp files.cpp flags.cpp json.cpp machine.cpp npy.cpp optimizer.cpp parameters.cpp safetensors.cpp signals.cpp tape.cpp text.cpp)
FUZZ_CXX = $(shell command -v clang++)
FUZZ_FLAGS = -std=c++20 -O1 -g -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -I. -fsanitize=address,undefined -fno-sanitize-recover=undefined
$(BUILD)/fuzz/%.o: %.cpp $(BUILD)/settings
	@mkdir -p $(@D)
	$(FUZZ_CXX) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
# A library: of what pack alone needs nothing is linked.
$(BUILD)/fuzz/fuzzed.a: $(FUZZED:%.cpp=$(BUILD)/fuzz/%.o)
	rm -f $@ && ar rcs $@ $^
$(BUILD)/fuzz/%: $(BUILD)/fuzz/tests/fuzz/%.o $(BUILD)/fuzz/tests/fuzz/driver.o $(BUILD)/fuzz/fuzzed.a
	$(FUZZ_CXX) $(FUZZ_FLAGS) -fsanitize=fuzzer $^ -larchive -lmatio -lz -lfmt -o $@
# Where the data of a JPEG end early, stb_image shifts zeros by 32 and more bits: zeros on every CPU.
$(BUILD)/fuzz/data/image.o: FUZZ_FLAGS += -fno-sanitize=shift-exponent
fuzz: packages
	@if ! echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' | $(or $(FUZZ_CXX),false) -x c++ -fsanitize=fuzzer,address - -o /dev/null 2>/dev/null; then \
	  echo "skipped: fuzzing, for want of clang with libFuzzer (Debian: clang, libclang-rt-dev)"; exit; fi; \
	echo "fuzz: builds $(words $(FUZZ)) targets and runs each for $${FUZZ_SECONDS:-60} s"; \
	$(MAKE) --no-print-directory -s -j$$(nproc) $(FUZZ:%=$(BUILD)/fuzz/%) && tests/fuzz/run $(BUILD)/fuzz $(FUZZ)

lines:
	@for d in engine models data tests; do printf '%-8s' $$d; find $$d -name '*.h' -o -name '*.cpp' -o -name '*.cu' | xargs cat | wc -l; done; printf '%-8s' programs; cat train.cpp eval.cpp | wc -l

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -path $(BUILD)/fresh -prune -o -name '*.d' -type f -print 2>/dev/null)
# The programs see to this themselves (engine/machine.h), the tests' own processes do not.
test test-eigen asan test-emulated planted test-card: export GOMP_SPINCOUNT = 1000

.PHONY: FORCE all clean packages demo test odr test-eigen test-emulated planted fuzz test-gpu bench-gpu static static-update bench \
  asan lines help planted-bugs gpu-programs gpu-bundle bundled-programs test-card
.SECONDARY:
