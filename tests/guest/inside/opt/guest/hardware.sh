#!/usr/bin/env bash
# Makes a GPIO header as a Pi has it, and applies what the host asks for at this boot: the configuration on the second
# disk, and on the kernel's command line guest.hold (a pin that is held down) and guest.clock (seconds since 1970).
set -euo pipefail
chip=/sys/kernel/config/gpio-sim/pi

mkdir -p "$chip/bank0"
echo 54 >"$chip/bank0/num_lines"
echo pinctrl-bcm2711 >"$chip/bank0/label"
for pin in 17 22 23 27; do
  mkdir "$chip/bank0/line$pin"
  echo "GPIO$pin" >"$chip/bank0/line$pin/name"
done
echo 1 >"$chip/live"
ln -sfn "/sys/devices/platform/$(<"$chip/dev_name")/$(<"$chip/bank0/chip_name")" /run/gpio
for pin in 17 27; do
  echo pull-up >"/run/gpio/sim_gpio$pin/pull"
done

read -ra words </proc/cmdline
for word in "${words[@]}"; do
  case $word in
    guest.hold=*) echo pull-down >"/run/gpio/sim_gpio${word#*=}/pull" ;;
    guest.clock=*) date --set "@${word#*=}" ;;
  esac
done

# Mounted, so that it also works while the root file system is read-only.
if [[ -e /dev/ubdb && -e /etc/ptt-appliance/config.yaml ]]; then
  tr --delete '\0' </dev/ubdb >/run/config.yaml
  chown root:ptt-appliance /run/config.yaml
  chmod 0640 /run/config.yaml
  mount --bind /run/config.yaml /etc/ptt-appliance/config.yaml
fi
