#!/usr/bin/env bash
# Makes the guest's root file system: Debian trixie with what Raspberry Pi OS has and this project needs, without the project.
#
#   image.sh KERNEL FOLDER    writes FOLDER/base.ext4; KERNEL is the folder that kernel.sh wrote
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=systemd/setup.sh
source "$here/../../systemd/setup.sh"
# shellcheck source=tests/guest/debian.sh
source "$here/debian.sh"
kernel=$1
folder=$2
root=$folder/root
packages=(alsa-utils dbus i2c-tools iproute2 iputils-ping kmod libnss-myhostname procps python3 sudo systemd-sysv udev usbutils)
# They ask the network, wait for it, or work in the background while something is measured.
masked=(apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
  systemd-firstboot.service systemd-networkd-wait-online.service)

main() {
  local unit
  need_packages dpkg e2fsprogs mmdebstrap
  rm -rf "$root"
  mkdir -p "$folder"
  mmdebstrap --quiet --variant=minbase --include="$(IFS=, && echo "${packages[*]}")" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    trixie "$root" "deb $(debian_mirror) trixie main"
  add_lgpio
  cp --recursive "$here/inside/." "$root/"
  mkdir -p "$root/usr/local/share/ca-certificates"
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  for unit in "${masked[@]}"; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
  systemctl --quiet --root "$root" enable systemd-networkd guest-hardware guest-usb guest-agent
  echo raspberrypi >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 raspberrypi\n' >"$root/etc/hosts"
  : >"$root/etc/fstab"
  : >"$root/etc/machine-id"
  chroot "$root" groupadd --system --force gpio
  chroot "$root" groupadd --system --force i2c
  chroot "$root" useradd --create-home --shell /bin/bash pi
  chmod 0440 "$root/etc/sudoers.d/pi"
  add_builtin_modules
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  truncate --size 3G "$folder/base.new"
  # User-Mode Linux is faster without checksums of metadata.
  mkfs.ext4 -q -F -m 0 -O ^metadata_csum -d "$root" "$folder/base.new"
  mv "$folder/base.new" "$folder/base.ext4"
  rm -rf "$root"
}

# add_lgpio: python3-lgpio is in Raspberry Pi OS and not in Debian. It is compiled from the Python package index, on top
# of the root file system, which stays without a compiler, and becomes a package in a repository of its own.
add_lgpio() {
  local build=$folder/lgpio package=$root/opt/packages/python3-lgpio
  rm -rf "$build"
  mkdir -p "$build"/{upper,work,merged} "$package/DEBIAN" "$package/usr/lib/python3/dist-packages"
  "${PYTHON:-python3}" -I -m pip download --quiet --no-deps --no-binary :all: --dest "$build" lgpio
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$build/upper,workdir=$build/work" "$build/merged"
  trap 'umount "$folder/lgpio/merged"' EXIT
  chroot "$build/merged" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive chroot "$build/merged" apt-get install -qq --no-install-recommends \
    gcc libc6-dev python3-dev python3-setuptools swig >/dev/null 2>&1
  mkdir "$build/merged/lgpio"
  tar --extract --gzip --file "$build"/lgpio-*.tar.gz --directory "$build/merged/lgpio" --strip-components=1
  chroot "$build/merged" sh -c 'cd /lgpio && PYPI=1 python3 setup.py --quiet build --build-lib /lgpio/out' >"$build/log" 2>&1 ||
    fail "lgpio could not be compiled: $(tail -5 "$build/log")"
  cp "$build/merged/lgpio/out/"* "$package/usr/lib/python3/dist-packages/"
  umount "$build/merged"
  trap - EXIT
  printf '%s\n' 'Package: python3-lgpio' 'Version: 0.2.2-1~guest' 'Architecture: amd64' 'Depends: python3' \
    'Maintainer: guest <root@localhost>' 'Description: lgpio for Python 3' >"$package/DEBIAN/control"
  dpkg-deb --root-owner-group --build "$package" "$root/opt/packages/python3-lgpio.deb" >/dev/null
  rm -rf "$package" "$build"
  index_packages
}

index_packages() (
  cd "$root/opt/packages"
  dpkg-deb --field python3-lgpio.deb
  echo "Filename: ./python3-lgpio.deb"
  echo "Size: $(stat --format %s python3-lgpio.deb)"
  echo "SHA256: $(sha256sum <python3-lgpio.deb | cut --delimiter ' ' --fields 1)"
) >"$root/opt/packages/Packages"

# add_builtin_modules: modprobe of a driver that is built in succeeds, as with a distribution's kernel.
add_builtin_modules() {
  local release
  release=$(<"$kernel/release")
  mkdir -p "$root/lib/modules/$release"
  cp "$kernel"/modules/* "$root/lib/modules/$release/"
  : >"$root/lib/modules/$release/modules.order"
  chroot "$root" depmod "$release"
}

main
