#!/usr/bin/env bash
# Builds the User-Mode Linux kernel of the guest from Debian's newest kernel source (trixie-backports: User-Mode Linux
# is fast enough for real-time audio since Linux 6.16).
#
#   kernel.sh FOLDER    writes FOLDER/linux and FOLDER/modules.builtin; about 17 minutes of CPU time
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=systemd/setup.sh
source "$here/../../systemd/setup.sh"
# shellcheck source=tests/guest/debian.sh
source "$here/debian.sh"
folder=$1
source_tree=$folder/source

main() {
  mkdir -p "$folder"
  need_packages bc bison flex gcc libc6-dev libelf-dev make xz-utils
  [[ -e $source_tree/.config ]] || unpack
  make --silent --directory "$source_tree" --jobs "$(nproc)" ARCH=um vmlinux
  strip -o "$folder/linux.new" "$source_tree/vmlinux"
  mkdir -p "$folder/modules"
  cp "$source_tree"/modules.builtin* "$folder/modules/"
  make --silent --directory "$source_tree" ARCH=um kernelrelease >"$folder/release"
  mv "$folder/linux.new" "$folder/linux"
  rm -r "$source_tree"
}

unpack() {
  local name archive
  use_debian trixie-backports "$folder/apt"
  name=$(debian_apt-cache pkgnames linux-source- | grep -E '^linux-source-[0-9.]+$' | sort --version-sort | tail -1)
  say "Building $name for User-Mode Linux"
  (cd "$folder" && debian_apt-get download --quiet "$name")
  archive=$(compgen -G "$folder/${name}_*.deb")
  rm -rf "$source_tree"
  mkdir "$source_tree"
  dpkg-deb --fsys-tarfile "$archive" | tar --extract --to-stdout --wildcards '*/linux-source-*.tar.xz' |
    tar --extract --xz --directory "$source_tree" --strip-components=1
  rm "$archive"
  # gpiozero reads the model of the Pi from /proc/cpuinfo. A bind mount over that file is not seen by the service:
  # ProtectProc= gives it a /proc of its own.
  sed -i '/seq_printf(m, "bogomips/i\\tseq_puts(m, "Revision\\t: c03114\\n");' "$source_tree/arch/um/kernel/um_arch.c"
  grep -q c03114 "$source_tree/arch/um/kernel/um_arch.c" || fail "The kernel's source has changed: no bogomips line."
  cd "$source_tree"
  make --silent ARCH=um x86_64_defconfig
  bash scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" >"$folder/config.log"
  make --silent ARCH=um olddefconfig
  cp .config "$folder/config"
}

main
