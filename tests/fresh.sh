#!/usr/bin/env bash
# README's two commands on a fresh machine: a bare Debian in a folder, with nothing but make and what the commands install.
# Usage (as root): tests/fresh.sh RELEASE [COMMAND...]        bookworm, trixie, ...; by default "make demo" and "make test"
# The release comes by debootstrap from the mirror that this machine's own apt uses; it lies in build/fresh/RELEASE and is
# used again, its sources are those of the last commit. Ends with a line for each command: status and seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { sed -n '/^# Usage/,/^set /s/^# \{0,1\}//p' "$0"; exit 2; }
release=$1; shift
[ $# -gt 0 ] || set -- "make demo" "make test"
[ "$(id -u)" = 0 ] || { echo "fresh.sh: chroot and debootstrap need root" >&2; exit 2; }
command -v debootstrap > /dev/null || { echo "fresh.sh: debootstrap is not installed (Debian: debootstrap)" >&2; exit 2; }
root=$PWD/build/fresh/$release

mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null || true; } |
  sed -nE 's,^(URIs:|deb) .*(https?://[^ ]+).*,\2,p;' | head -n 1)
[ -n "$mirror" ] || { echo "fresh.sh: no mirror stands in /etc/apt/sources.list or sources.list.d" >&2; exit 1; }
if [ ! -e "$root/.whole" ]; then
  rm -rf "$root" && mkdir -p "$root"
  debootstrap --variant=minbase "$release" "$root" "$mirror" > "$root.log" 2>&1 ||
    { tail -n 5 "$root.log" >&2; echo "fresh.sh: debootstrap of $release failed" >&2; exit 1; }
  touch "$root/.whole"
fi
cp /etc/resolv.conf "$root/etc/"
cp /etc/apt/apt.conf.d/99* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true

mounted() { mountpoint -q "$root/$1"; }
leave() { for m in proc dev/pts dev; do ! mounted $m || umount -l "$root/$m"; done; }
trap leave EXIT
mounted proc || mount -t proc proc "$root/proc"
mounted dev || { mount --bind /dev "$root/dev" && mount --make-private "$root/dev"; }
mounted dev/pts || mount --bind /dev/pts "$root/dev/pts"              # terminals, which a bind of /dev leaves out
rm -rf "$root/relucent" && mkdir "$root/relucent"
git archive HEAD | tar -x -C "$root/relucent"

in_it() { chroot "$root" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
  sh -c "cd /relucent && $1"; }
in_it "apt-get -qq update && apt-get -qq install -y make > /dev/null" || { echo "fresh.sh: make could not be installed" >&2; exit 1; }
summary="" failed=0
for command in "$@"; do
  began=$SECONDS status=0
  in_it "$command" || status=$?
  summary+=$(printf '%-10s %-40s status %d, %d s' "$release" "$command" $status $((SECONDS - began)))$'\n'
  [ $status = 0 ] || failed=1
done
printf '%s' "$summary"
exit $failed
