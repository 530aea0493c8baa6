#!/usr/bin/env bash
# What a machine with a GPU can tell, in one run: whether the kernels are right there, how fast they are, and how fast
# PyTorch is. Each step has a time limit and a log, and none needs another to have succeeded. Ends with a table of at
# most 100 lines; table, logs, CSV and JSON go to $OUT (default build/card). Exit status 1 if a step failed.
#
# Usage: card.sh [OPTION]...
#   --quick           in 240 s instead of 540: tests, images/s, the kernels of one step, PyTorch eager and compiled
#   --only STEP,...   these steps alone, each with four times its time limit: card, start, kernels, tests, ceilings,
#                     speed, ncu_s16, ncu_cifar, ncu_full, attention, pytorch, training, big_batch, sanitizer, loader
#   --compare DIR     the programs in DIR as well (another bundle), in turn with these: card, start, speed, ncu_s16
#   --programs DIR    where train, eval, pack, bench and tests/run lie (default: beside this script, else build/gpu)
#   --data DIR        pictures: DIR/small and DIR/large hold *train-*.tar and *val-*.tar (default: data beside programs)
#   --tiny            tiny models and few steps, to try the script itself on the emulated device
#   --cpu             none of the steps: starts every program, and runs the tests of the bundle on the CPU
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/card_steps"

# Steps in their order, with the seconds that each may take at most.
steps="card:10 start:20 kernels:60 tests:100 ceilings:25 speed:90 ncu_s16:50 ncu_cifar:30 ncu_full:45 attention:50"
steps+=" pytorch:100 training:40 big_batch:50 sanitizer:80 loader:10"

usage() { sed -n '/^# Usage/,/^set /s/^# \{0,1\}//p' "$0"; }
mistake() { echo "card.sh: $*; card.sh --help lists what there is" >&2; exit 2; }

arguments=("$@") quick='' tiny='' only='' step='' other='' cpu='' data='' programs=$here
[ -x "$here/train" ] || programs=$here/../../build/gpu
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=1 ;;
    --tiny) tiny=1 ;;
    --cpu) cpu=1 ;;
    --only | --programs | --data | --compare | --step)
      [ $# -gt 1 ] || mistake "$1 needs a value"
      case $1 in
        --only) only=$2 ;;
        --programs) programs=$2 ;;
        --data) data=$2 ;;
        --compare) other=$2 ;;
        --step) step=$2 ;;
      esac
      shift ;;
    -h | --help) usage; exit ;;
    *) mistake "'$1' is unknown" ;;
  esac
  shift
done
for folder in "$programs" $other; do
  [ -x "$folder/train" ] || mistake "no program 'train' in $folder; make gpu-programs builds it"
done
for name in ${only//,/ }; do [[ " $steps" == *" $name:"* ]] || mistake "--only: '$name' is no step"; done
data=${data:-$programs/data} out=${OUT:-build/card} work=${OUT:-build/card}/work
set_up

if [ -n "$cpu" ]; then on_the_cpu; exit; fi
if [ -n "$step" ]; then set -e; "step_$step"; exit; fi

seconds=540
[ -z "$other" ] || only=${only:-card,start,speed,ncu_s16}
if [ -n "$quick" ]; then
  seconds=240 steps=${steps/tests:100/tests:60} only=${only:-card,start,kernels,tests,ceilings,speed,ncu_s16,pytorch}
fi
deadline=$((SECONDS + seconds - 5))    # the table takes some
rm -rf "$work" && mkdir -p "$work" || exit 2

failed=0 stretch=1
[ -z "$only" ] || [ -n "$quick" ] || stretch=4
for entry in $steps; do
  name=${entry%:*} limit=$((stretch * ${entry#*:})) left=$((deadline - SECONDS)) began=$SECONDS status=0
  [[ -z "$only" || ",$only," == *",$name,"* ]] || continue
  limit=$((limit < left ? limit : left))
  if [ $limit -gt 2 ]; then
    limit=$limit timeout --kill-after=2 $limit "$BASH" "$0" ${arguments[@]+"${arguments[@]}"} --step "$name" \
      > "$work/$name.log" 2>&1 || status=$?
  else echo "skipped: no time was left" > "$work/$name.log"; status=$skipped; fi
  case $status in
    0) word=ok ;;
    "$skipped") word=skipped ;;
    124 | 137) word=FAILED; echo "stopped after $limit s" >> "$work/$name.log" ;;
    *) word=FAILED ;;
  esac
  [ $word != FAILED ] || failed=1
  printf '%s %s %s\n' "$name" $word $((SECONDS - began)) | tee -a "$work/steps" >&2
done

"$here/card_table" "$work" | cut -c 1-118 | head -n 100 > "$out/table.txt"
while read -r name _; do echo "== $name"; cat "$work/$name.log"; done < "$work/steps" > "$out/card.log"
cd "$work" || exit 2
for file in speed.csv peers.jsonl; do [ ! -e $file ] || mv $file ..; done
! ls ncu*.csv > /dev/null 2>&1 || tar -czf ../ncu.tar.gz ncu*.csv
cd .. && rm -rf work && cat table.txt
exit $failed
